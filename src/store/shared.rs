//! A store behind an [`Arc`].

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::operator::{Cursor, Intervened, Intervention, ListPage, ListRequest, Shown, StatsPage};
use super::{
    CheckItem, Lease, PendingRef, Record, Reservation, ReserveRequest, Settlement, Store,
    StoreError,
};
use crate::record::key::StorageKey;
use crate::record::outcome::Outcome;

/// The same store. The stores of this crate need no [`Arc`], because a clone of one is the same
/// store. For a store that is chosen at run time see [`DynStore`](super::DynStore).
// Otherwise the compiler's error for an `Arc<dyn Store>` would speak of its size.
#[diagnostic::do_not_recommend]
impl<S: Store> Store for Arc<S> {
    fn reserve(
        &self,
        request: &ReserveRequest,
    ) -> impl Future<Output = Result<Reservation, StoreError>> + Send {
        S::reserve(self, request)
    }

    fn complete(
        &self,
        lease: &Lease,
        outcome: &Outcome,
        retention: Duration,
    ) -> impl Future<Output = Result<Settlement, StoreError>> + Send {
        S::complete(self, lease, outcome, retention)
    }

    fn fail(
        &self,
        lease: &Lease,
        outcome: Option<&Outcome>,
        retention: Duration,
    ) -> impl Future<Output = Result<Settlement, StoreError>> + Send {
        S::fail(self, lease, outcome, retention)
    }

    fn release(
        &self,
        lease: &Lease,
    ) -> impl Future<Output = Result<Settlement, StoreError>> + Send {
        S::release(self, lease)
    }

    fn renew(&self, lease: &Lease) -> impl Future<Output = Result<Settlement, StoreError>> + Send {
        S::renew(self, lease)
    }

    fn inspect(
        &self,
        key: &StorageKey,
    ) -> impl Future<Output = Result<Option<Record>, StoreError>> + Send {
        S::inspect(self, key)
    }

    fn wait_for_change(
        &self,
        seen: &PendingRef,
        round: u32,
        bound: Duration,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        S::wait_for_change(self, seen, round, bound)
    }

    fn set_timeout(&self, timeout: Duration) {
        S::set_timeout(self, timeout);
    }

    fn is_shared(&self) -> bool {
        S::is_shared(self)
    }

    fn opens_in_outage(&self) -> bool {
        S::opens_in_outage(self)
    }

    fn limits_scopes(&self) -> bool {
        S::limits_scopes(self)
    }

    fn opens_transactions(&self) -> bool {
        S::opens_transactions(self)
    }

    fn check(&self) -> impl Future<Output = Result<Vec<CheckItem>, StoreError>> + Send {
        S::check(self)
    }

    fn list(
        &self,
        request: &ListRequest,
    ) -> impl Future<Output = Result<ListPage, StoreError>> + Send {
        S::list(self, request)
    }

    fn show(&self, key: &StorageKey) -> impl Future<Output = Result<Shown, StoreError>> + Send {
        S::show(self, key)
    }

    fn intervene(
        &self,
        intervention: &Intervention,
    ) -> impl Future<Output = Result<Intervened, StoreError>> + Send {
        S::intervene(self, intervention)
    }

    fn stats(
        &self,
        after: Option<&Cursor>,
    ) -> impl Future<Output = Result<StatsPage, StoreError>> + Send {
        S::stats(self, after)
    }

    fn ping(&self) -> impl Future<Output = Result<(), StoreError>> + Send {
        S::ping(self)
    }
}

#[cfg(test)]
mod tests;
