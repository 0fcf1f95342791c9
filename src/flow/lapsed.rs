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
/// A later request continues the wait of an earlier one. The token of a lease selects its slot.
/// Another lease may overwrite the slot, and the next request then waits from the start.
///
/// It allocates no memory before the first lapse.
#[derive(Default)]
pub(crate) struct Lapsed(Mutex<Vec<Option<LapsedLease>>>);

struct LapsedLease {
    key: StorageKey,
    token: Token,
    since: Instant,
}

impl Lapsed {
    /// Returns since when a lease looks lapsed. The first call for a lease stores the current
    /// instant.
    pub(crate) fn since(&self, key: &StorageKey, token: &Token) -> Instant {
        let mut leases = lock(&self.0);
        if leases.is_empty() {
            leases.resize_with(LEASES, || None);
        }
        let slot = &mut leases[slot(token)];
        match slot {
            Some(seen) if seen.token == *token && seen.key == *key => seen.since,
            _ => {
                let since = Instant::now();
                *slot = Some(LapsedLease { key: *key, token: *token, since });
                since
            }
        }
    }

    /// Removes a lease that was renewed.
    pub(crate) fn renewed(&self, token: &Token) {
        let mut leases = lock(&self.0);
        if let Some(slot) = leases.get_mut(slot(token))
            && slot.as_ref().is_some_and(|seen| seen.token == *token)
        {
            *slot = None;
        }
    }
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
}
