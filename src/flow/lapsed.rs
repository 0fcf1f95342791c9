//! When this process first saw that a lease looks lapsed.

use std::sync::Mutex;

use tokio::time::Instant;

use crate::record::key::StorageKey;
use crate::runtime::lock::lock;
use crate::store::Token;

/// How many leases are remembered.
const LEASES: usize = 1024;

/// When each lease was first seen to have lapsed. If no renewal follows, its attempt was cut off.
///
/// An attempt of this process may also have given its lease up. Nothing renews it any more, so there
/// is nothing to wait for.
///
/// A later request continues the wait of an earlier one. The token of a lease selects its slot.
/// Another lease may overwrite the slot, and the next request then waits from the start.
///
/// It allocates no memory before the first lapse.
#[derive(Default)]
pub(crate) struct Lapsed(Mutex<Vec<Option<LapsedLease>>>);

struct LapsedLease {
    key: StorageKey,
    token: Token,
    /// `None`: it was given up.
    since: Option<Instant>,
}

impl Lapsed {
    /// Returns since when a lease looks lapsed. The first call for a lease stores the current
    /// instant. `None` if it was given up.
    pub(crate) fn since(&self, key: &StorageKey, token: &Token) -> Option<Instant> {
        let mut leases = lock(&self.0);
        let slot = place(&mut leases, token);
        match slot {
            Some(seen) if seen.token == *token && seen.key == *key => seen.since,
            _ => {
                let since = Some(Instant::now());
                *slot = Some(LapsedLease { key: *key, token: *token, since });
                since
            }
        }
    }

    /// Notes that an attempt of this process gives its lease up.
    pub(crate) fn given_up(&self, key: &StorageKey, token: &Token) {
        let mut leases = lock(&self.0);
        let given_up = LapsedLease { key: *key, token: *token, since: None };
        *place(&mut leases, token) = Some(given_up);
    }

    /// Removes a lease that was renewed.
    pub(crate) fn renewed(&self, token: &Token) {
        let mut leases = lock(&self.0);
        if let Some(slot) = leases.get_mut(slot(token))
            && slot.as_ref().is_some_and(|seen| seen.token == *token && seen.since.is_some())
        {
            *slot = None;
        }
    }
}

fn place<'a>(
    leases: &'a mut Vec<Option<LapsedLease>>,
    token: &Token,
) -> &'a mut Option<LapsedLease> {
    if leases.is_empty() {
        leases.resize_with(LEASES, || None);
    }
    &mut leases[slot(token)]
}

/// The slot of a token. A token is random or a counter, so all of its bytes count.
fn slot(token: &Token) -> usize {
    let bytes = token.as_bytes();
    bytes.iter().fold(0, |slot: usize, byte| slot.wrapping_mul(31).wrapping_add(usize::from(*byte)))
        % LEASES
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::*;
    use crate::record::key::{IdempotencyKey, Scope};

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_remembered_until_it_is_renewed() {
        let key = IdempotencyKey::parse(b"key").unwrap();
        let key = StorageKey::derive(None, "", &Scope::anonymous(), &key);
        let (lapsed, token) = (Lapsed::default(), Token::new([7; 16]));
        let first = lapsed.since(&key, &token);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(lapsed.since(&key, &token), first);
        assert_ne!(lapsed.since(&key, &Token::new([8; 16])), first);
        lapsed.renewed(&token);
        assert_ne!(lapsed.since(&key, &token), first);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_was_given_up_needs_no_time() {
        let (lapsed, token) = (Lapsed::default(), Token::new([7; 16]));
        let [key, other] = [b"key", b"two"].map(|key| {
            let key = IdempotencyKey::parse(key).unwrap();
            StorageKey::derive(None, "", &Scope::anonymous(), &key)
        });
        assert!(lapsed.since(&key, &token).is_some());
        lapsed.given_up(&key, &token);
        assert_eq!(lapsed.since(&key, &token), None);
        // The record was read before the lease was given up.
        lapsed.renewed(&token);
        assert_eq!(lapsed.since(&key, &token), None);
        assert!(lapsed.since(&other, &token).is_some(), "it was of another key");
    }
}
