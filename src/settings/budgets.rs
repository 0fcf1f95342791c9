//! Limits on what waiting requests and retried writes use.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::record::key::ScopeDigest;
use crate::runtime::lock::lock;

/// The limits, shared by all clones of a layer that were made after they were set.
#[derive(Clone)]
pub(crate) struct Budgets {
    waiting: Budget,
    waiting_bytes: Budget,
    retried_bytes: Budget,
}

impl Default for Budgets {
    fn default() -> Self {
        let bytes = || Budget::new(64 << 20);
        Self { waiting: Budget::new(1000), waiting_bytes: bytes(), retried_bytes: bytes() }
    }
}

impl Budgets {
    pub(crate) fn set_max_waiting(&mut self, requests: usize) {
        self.waiting = Budget::new(requests);
    }

    pub(crate) fn set_max_bytes(&mut self, bytes: usize) {
        self.waiting_bytes = Budget::new(bytes);
        self.retried_bytes = Budget::new(bytes);
    }

    /// The permit of a request to wait with a body of this many bytes. It is acquired at the first
    /// wait.
    pub(crate) fn wait_permit(&self, scope: ScopeDigest, bytes: usize) -> WaitPermit<'_> {
        WaitPermit { budgets: self, scope, bytes, spent: None }
    }

    /// Acquires the bytes of a response whose write is retried, if the limit allows it.
    pub(crate) fn retried_bytes(&self, scope: ScopeDigest, bytes: usize) -> Option<Spent> {
        self.retried_bytes.acquire(scope, bytes)
    }
}

/// See [`Budgets::wait_permit`]. Dropping it gives it back.
pub(crate) struct WaitPermit<'a> {
    budgets: &'a Budgets,
    scope: ScopeDigest,
    bytes: usize,
    spent: Option<(Spent, Spent)>,
}

impl WaitPermit<'_> {
    /// Whether the request may wait.
    pub(crate) fn acquire(&mut self) -> bool {
        if self.spent.is_none() {
            let waiting = self.budgets.waiting.acquire(self.scope, 1);
            self.spent = waiting.zip(self.budgets.waiting_bytes.acquire(self.scope, self.bytes));
        }
        self.spent.is_some()
    }
}

/// One scope may use at most this part of a budget, so that other scopes get the rest.
const SHARES: usize = 10;

/// An amount that requests share.
#[derive(Clone)]
struct Budget {
    most: usize,
    used: Arc<Mutex<Used>>,
}

#[derive(Default)]
struct Used {
    total: usize,
    by_scope: HashMap<ScopeDigest, usize>,
}

/// An amount that a scope uses. Dropping it gives it back.
pub(crate) struct Spent {
    budget: Arc<Mutex<Used>>,
    scope: ScopeDigest,
    amount: usize,
}

impl Budget {
    fn new(most: usize) -> Self {
        Self { most, used: Arc::default() }
    }

    /// Acquires an amount for a scope, if the budget and the share of the scope allow it.
    ///
    /// The first amount of a scope may exceed its share, but not the budget. The scope of a layer
    /// without a `scope` function has no share.
    fn acquire(&self, scope: ScopeDigest, amount: usize) -> Option<Spent> {
        let mut used = lock(&self.used);
        let before = used.by_scope.get(&scope).copied().unwrap_or(0);
        let share = if scope == ScopeDigest::UNSET { self.most } else { self.most / SHARES };
        let is_within = before == 0 || before.saturating_add(amount) <= share;
        if !is_within || used.total.saturating_add(amount) > self.most {
            return None;
        }
        used.total += amount;
        if amount > 0 {
            *used.by_scope.entry(scope).or_default() += amount;
        }
        Some(Spent { budget: Arc::clone(&self.used), scope, amount })
    }
}

impl Drop for Spent {
    fn drop(&mut self) {
        let mut used = lock(&self.budget);
        used.total -= self.amount;
        if let Some(of_scope) = used.by_scope.get_mut(&self.scope) {
            *of_scope -= self.amount;
            if *of_scope == 0 {
                used.by_scope.remove(&self.scope);
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
        let ten: Vec<_> = (0..10).map(|_| budget.acquire(alice, 1).unwrap()).collect();
        assert!(budget.acquire(alice, 1).is_none(), "alice uses her whole share");
        let large = budget.acquire(bob, 80).unwrap();
        assert!(budget.acquire(bob, 1).is_none(), "only the first amount may exceed the share");
        let rest = budget.acquire(ScopeDigest::UNSET, 10).unwrap();
        assert!(budget.acquire(ScopeDigest::ANONYMOUS, 1).is_none(), "the whole budget is used");
        drop((ten, large, rest));
        let used = lock(&budget.used);
        assert_eq!((used.total, used.by_scope.len()), (0, 0));
    }
}
