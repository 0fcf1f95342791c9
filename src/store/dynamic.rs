//! A store that is chosen at run time.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::operator::{Cursor, Intervened, Intervention, ListPage, ListRequest, Shown, StatsPage};
use super::{
    CheckItem, Lease, PendingRef, Record, Reservation, ReserveRequest, Settlement, Store,
    StoreError,
};
use crate::record::key::StorageKey;
use crate::record::outcome::Outcome;

/// Any [`Store`] behind one type, for a service that chooses its store at run time. A clone is the
/// same store.
///
/// Each operation costs one allocation more than on the store itself.
///
/// ```
/// use tower_idempotency::MemoryStore;
/// use tower_idempotency::store::DynStore;
///
/// # #[cfg(feature = "redis")]
/// fn choose(url: Option<&str>) -> Result<DynStore, tower_idempotency::store::StoreError> {
///     Ok(match url {
///         Some(url) => DynStore::new(tower_idempotency::RedisStore::open(url)?),
///         None => DynStore::new(MemoryStore::new()),
///     })
/// }
/// ```
///
/// An `Arc<dyn Store>` is not a store, because each [`Store`] has futures of its own:
///
/// ```compile_fail,E0277
/// # use std::sync::Arc;
/// # use tower_idempotency::{IdempotencyLayer, MemoryStore, store::Store};
/// let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
/// let layer = IdempotencyLayer::new(store);
/// ```
#[derive(Clone)]
pub struct DynStore(Arc<dyn Erased>);

impl DynStore {
    /// Puts `store` behind the common type.
    pub fn new(store: impl Store) -> Self {
        Self(Arc::new(store))
    }
}

impl fmt::Debug for DynStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DynStore(..)")
    }
}

type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// [`Store`] with boxed futures, so that it can be behind a pointer.
trait Erased: Send + Sync {
    fn reserve<'a>(&'a self, request: &'a ReserveRequest) -> Reply<'a, Reservation>;
    fn complete<'a>(
        &'a self,
        lease: &'a Lease,
        outcome: &'a Outcome,
        retention: Duration,
    ) -> Reply<'a, Settlement>;
    fn fail<'a>(
        &'a self,
        lease: &'a Lease,
        outcome: Option<&'a Outcome>,
        retention: Duration,
    ) -> Reply<'a, Settlement>;
    fn release<'a>(&'a self, lease: &'a Lease) -> Reply<'a, Settlement>;
    fn renew<'a>(&'a self, lease: &'a Lease) -> Reply<'a, Settlement>;
    fn inspect<'a>(&'a self, key: &'a StorageKey) -> Reply<'a, Option<Record>>;
    fn wait_for_change<'a>(
        &'a self,
        seen: &'a PendingRef,
        round: u32,
        bound: Duration,
    ) -> Reply<'a, ()>;
    fn set_timeout(&self, timeout: Duration);
    fn is_shared(&self) -> bool;
    fn opens_in_outage(&self) -> bool;
    fn limits_scopes(&self) -> bool;
    fn opens_transactions(&self) -> bool;
    fn check(&self) -> Reply<'_, Vec<CheckItem>>;
    fn list<'a>(&'a self, request: &'a ListRequest) -> Reply<'a, ListPage>;
    fn show<'a>(&'a self, key: &'a StorageKey) -> Reply<'a, Shown>;
    fn intervene<'a>(&'a self, intervention: &'a Intervention) -> Reply<'a, Intervened>;
    fn stats<'a>(&'a self, after: Option<&'a Cursor>) -> Reply<'a, StatsPage>;
    fn ping(&self) -> Reply<'_, ()>;
}

impl<T: Store> Erased for T {
    fn reserve<'a>(&'a self, request: &'a ReserveRequest) -> Reply<'a, Reservation> {
        Box::pin(Store::reserve(self, request))
    }

    fn complete<'a>(
        &'a self,
        lease: &'a Lease,
        outcome: &'a Outcome,
        retention: Duration,
    ) -> Reply<'a, Settlement> {
        Box::pin(Store::complete(self, lease, outcome, retention))
    }

    fn fail<'a>(
        &'a self,
        lease: &'a Lease,
        outcome: Option<&'a Outcome>,
        retention: Duration,
    ) -> Reply<'a, Settlement> {
        Box::pin(Store::fail(self, lease, outcome, retention))
    }

    fn release<'a>(&'a self, lease: &'a Lease) -> Reply<'a, Settlement> {
        Box::pin(Store::release(self, lease))
    }

    fn renew<'a>(&'a self, lease: &'a Lease) -> Reply<'a, Settlement> {
        Box::pin(Store::renew(self, lease))
    }

    fn inspect<'a>(&'a self, key: &'a StorageKey) -> Reply<'a, Option<Record>> {
        Box::pin(Store::inspect(self, key))
    }

    fn wait_for_change<'a>(
        &'a self,
        seen: &'a PendingRef,
        round: u32,
        bound: Duration,
    ) -> Reply<'a, ()> {
        Box::pin(Store::wait_for_change(self, seen, round, bound))
    }

    fn set_timeout(&self, timeout: Duration) {
        Store::set_timeout(self, timeout);
    }

    fn is_shared(&self) -> bool {
        Store::is_shared(self)
    }

    fn opens_in_outage(&self) -> bool {
        Store::opens_in_outage(self)
    }

    fn limits_scopes(&self) -> bool {
        Store::limits_scopes(self)
    }

    fn opens_transactions(&self) -> bool {
        Store::opens_transactions(self)
    }

    fn check(&self) -> Reply<'_, Vec<CheckItem>> {
        Box::pin(Store::check(self))
    }

    fn list<'a>(&'a self, request: &'a ListRequest) -> Reply<'a, ListPage> {
        Box::pin(Store::list(self, request))
    }

    fn show<'a>(&'a self, key: &'a StorageKey) -> Reply<'a, Shown> {
        Box::pin(Store::show(self, key))
    }

    fn intervene<'a>(&'a self, intervention: &'a Intervention) -> Reply<'a, Intervened> {
        Box::pin(Store::intervene(self, intervention))
    }

    fn stats<'a>(&'a self, after: Option<&'a Cursor>) -> Reply<'a, StatsPage> {
        Box::pin(Store::stats(self, after))
    }

    fn ping(&self) -> Reply<'_, ()> {
        Box::pin(Store::ping(self))
    }
}

impl Store for DynStore {
    async fn reserve(&self, request: &ReserveRequest) -> Result<Reservation, StoreError> {
        self.0.reserve(request).await
    }

    async fn complete(
        &self,
        lease: &Lease,
        outcome: &Outcome,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        self.0.complete(lease, outcome, retention).await
    }

    async fn fail(
        &self,
        lease: &Lease,
        outcome: Option<&Outcome>,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        self.0.fail(lease, outcome, retention).await
    }

    async fn release(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        self.0.release(lease).await
    }

    async fn renew(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        self.0.renew(lease).await
    }

    async fn inspect(&self, key: &StorageKey) -> Result<Option<Record>, StoreError> {
        self.0.inspect(key).await
    }

    async fn wait_for_change(
        &self,
        seen: &PendingRef,
        round: u32,
        bound: Duration,
    ) -> Result<(), StoreError> {
        self.0.wait_for_change(seen, round, bound).await
    }

    fn set_timeout(&self, timeout: Duration) {
        self.0.set_timeout(timeout);
    }

    fn is_shared(&self) -> bool {
        self.0.is_shared()
    }

    fn opens_in_outage(&self) -> bool {
        self.0.opens_in_outage()
    }

    fn limits_scopes(&self) -> bool {
        self.0.limits_scopes()
    }

    fn opens_transactions(&self) -> bool {
        self.0.opens_transactions()
    }

    async fn check(&self) -> Result<Vec<CheckItem>, StoreError> {
        self.0.check().await
    }

    async fn list(&self, request: &ListRequest) -> Result<ListPage, StoreError> {
        self.0.list(request).await
    }

    async fn show(&self, key: &StorageKey) -> Result<Shown, StoreError> {
        self.0.show(key).await
    }

    async fn intervene(&self, intervention: &Intervention) -> Result<Intervened, StoreError> {
        self.0.intervene(intervention).await
    }

    async fn stats(&self, after: Option<&Cursor>) -> Result<StatsPage, StoreError> {
        self.0.stats(after).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.0.ping().await
    }
}
