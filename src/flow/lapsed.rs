//! Since when leases look lapsed, as far as this process has seen.

use std::sync::Mutex;

use tokio::time::Instant;

use crate::record::key::StorageKey;
use crate::runtime::lock::lock;
use crate::store::Token;

/// How many leases are remembered.
const LEASES: usize = 1024;

/// When a lease was first seen to have lapsed. A renewal that is missed after that shows that its attempt was cut off.
///
/// A later request goes on where an earlier one stopped waiting. Each lease has a place that its token says, and a later
/// one may take that place: the next request then waits anew.
///
/// It takes no memory before the first lapse.
#[derive(Default)]
pub(crate) struct Lapsed(Mutex<Vec<Option<PendingRef>>>);

struct PendingRef {
    key: StorageKey,
    token: Token,
    since: Instant,
}

impl Lapsed {
    /// Tells since when a lease looks lapsed, and remembers it if this is the first look.
    pub(crate) fn since(&self, key: &StorageKey, token: &Token) -> Instant {
        let mut leases = lock(&self.0);
        if leases.is_empty() {
            leases.resize_with(LEASES, || None);
        }
        let place = &mut leases[place(token)];
        match place {
            Some(seen) if seen.token == *token && seen.key == *key => seen.since,
            _ => {
                let since = Instant::now();
                *place = Some(PendingRef { key: *key, token: *token, since });
                since
            }
        }
    }

    /// Forgets a lease that was renewed.
    pub(crate) fn renewed(&self, token: &Token) {
        let mut leases = lock(&self.0);
        if let Some(place) = leases.get_mut(place(token))
            && place.as_ref().is_some_and(|seen| seen.token == *token)
        {
            *place = None;
        }
    }
}

/// Tokens are drawn, or counted.
fn place(token: &Token) -> usize {
    let bytes = token.as_bytes();
    bytes.iter().fold(0, |place: usize, byte| place.wrapping_mul(31).wrapping_add(usize::from(*byte)))
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
