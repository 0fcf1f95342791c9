//! How much is held for requests that wait, and for writes that are retried.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::record::key::ScopeDigest;
use crate::runtime::lock::lock;

/// The bounds, over all clones of a layer that were made after they were set.
#[derive(Clone)]
pub(crate) struct Holding {
    waiting: Budget,
    waiting_bytes: Budget,
    retried_bytes: Budget,
}

impl Default for Holding {
    fn default() -> Self {
        let bytes = || Budget::new(64 << 20);
        Self { waiting: Budget::new(1000), waiting_bytes: bytes(), retried_bytes: bytes() }
    }
}

impl Holding {
    pub(crate) fn set_max_waiting(&mut self, requests: usize) {
        self.waiting = Budget::new(requests);
    }

    pub(crate) fn set_max_bytes(&mut self, bytes: usize) {
        self.waiting_bytes = Budget::new(bytes);
        self.retried_bytes = Budget::new(bytes);
    }

    /// The right of a request to wait with a body of so many bytes. It is taken at the first wait.
    pub(crate) fn seat(&self, scope: ScopeDigest, bytes: usize) -> Seat<'_> {
        Seat { holding: self, scope, bytes, taken: None }
    }

    /// Holds the bytes of a response whose write is retried, if the bound allows it.
    pub(crate) fn retried(&self, scope: ScopeDigest, bytes: usize) -> Option<Held> {
        self.retried_bytes.take(scope, bytes)
    }
}

/// See [`Holding::seat`]. Dropping it gives it back.
pub(crate) struct Seat<'a> {
    holding: &'a Holding,
    scope: ScopeDigest,
    bytes: usize,
    taken: Option<(Held, Held)>,
}

impl Seat<'_> {
    /// Whether the request may wait.
    pub(crate) fn take(&mut self) -> bool {
        if self.taken.is_none() {
            let waiting = self.holding.waiting.take(self.scope, 1);
            self.taken = waiting.zip(self.holding.waiting_bytes.take(self.scope, self.bytes));
        }
        self.taken.is_some()
    }
}

/// One scope has at most this part of a budget, so that it leaves something for the others.
const SHARES: usize = 10;

/// An amount of which requests take parts.
#[derive(Clone)]
struct Budget {
    most: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    of: HashMap<ScopeDigest, usize>,
}

/// What was taken. Dropping it gives it back.
pub(crate) struct Held {
    budget: Arc<Mutex<Taken>>,
    scope: ScopeDigest,
    amount: usize,
}

impl Budget {
    fn new(most: usize) -> Self {
        Self { most, taken: Arc::default() }
    }

    /// A scope that has nothing may exceed its share, but not the whole. Callers that are not told
    /// apart have no share.
    fn take(&self, scope: ScopeDigest, amount: usize) -> Option<Held> {
        let mut taken = lock(&self.taken);
        let before = taken.of.get(&scope).copied().unwrap_or(0);
        let share = if scope == ScopeDigest::UNSET { self.most } else { self.most / SHARES };
        let is_within = before == 0 || before.saturating_add(amount) <= share;
        if !is_within || taken.all.saturating_add(amount) > self.most {
            return None;
        }
        taken.all += amount;
        if amount > 0 {
            *taken.of.entry(scope).or_default() += amount;
        }
        Some(Held { budget: Arc::clone(&self.taken), scope, amount })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut taken = lock(&self.budget);
        taken.all -= self.amount;
        if let Some(of_scope) = taken.of.get_mut(&self.scope) {
            *of_scope -= self.amount;
            if *of_scope == 0 {
                taken.of.remove(&self.scope);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::record::key::Scope;

    #[test]
    fn a_scope_leaves_nine_tenths_to_the_others_and_gives_back_what_it_had() {
        let budget = Budget::new(100);
        let [alice, bob] = ["alice", "bob"].map(|name| ScopeDigest::of(None, &Scope::new(name)));
        let ten: Vec<_> = (0..10).map(|_| budget.take(alice, 1).unwrap()).collect();
        assert!(budget.take(alice, 1).is_none(), "its share is taken");
        let large = budget.take(bob, 80).unwrap();
        assert!(budget.take(bob, 1).is_none(), "the first one may exceed the share");
        let rest = budget.take(ScopeDigest::UNSET, 10).unwrap();
        assert!(budget.take(ScopeDigest::ANONYMOUS, 1).is_none(), "all is taken");
        drop((ten, large, rest));
        let taken = lock(&budget.taken);
        assert_eq!((taken.all, taken.of.len()), (0, 0));
    }
}
