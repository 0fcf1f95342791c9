#![allow(clippy::unwrap_used)]

use std::sync::Mutex;

use super::*;
use crate::record::key::{IdempotencyKey, Scope};
use crate::store::memory::MemoryStore;
use crate::store::{DynStore, Token};

/// Replies otherwise than the defaults of the trait, where there is one.
#[derive(Default)]
struct Odd {
    timeout: Mutex<Option<Duration>>,
    waits: Mutex<u32>,
}

impl Store for Odd {
    async fn reserve(&self, request: &ReserveRequest) -> Result<Reservation, StoreError> {
        MemoryStore::new().reserve(request).await
    }

    async fn complete(
        &self,
        _: &Lease,
        _: &Outcome,
        _: Duration,
    ) -> Result<Settlement, StoreError> {
        Ok(Settlement::Applied)
    }

    async fn fail(
        &self,
        _: &Lease,
        _: Option<&Outcome>,
        _: Duration,
    ) -> Result<Settlement, StoreError> {
        Ok(Settlement::Applied)
    }

    async fn release(&self, _: &Lease) -> Result<Settlement, StoreError> {
        Ok(Settlement::Applied)
    }

    async fn renew(&self, _: &Lease) -> Result<Settlement, StoreError> {
        Ok(Settlement::Applied)
    }

    async fn inspect(&self, _: &StorageKey) -> Result<Option<Record>, StoreError> {
        Ok(None)
    }

    async fn wait_for_change(
        &self,
        _: &PendingRef,
        round: u32,
        _: Duration,
    ) -> Result<(), StoreError> {
        *self.waits.lock().unwrap() += round;
        Ok(())
    }

    fn set_timeout(&self, timeout: Duration) {
        *self.timeout.lock().unwrap() = Some(timeout);
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn opens_in_outage(&self) -> bool {
        false
    }

    fn limits_scopes(&self) -> bool {
        false
    }

    fn opens_transactions(&self) -> bool {
        false
    }

    async fn check(&self) -> Result<Vec<CheckItem>, StoreError> {
        Ok(vec![CheckItem::new("odd", true, "found", "why", "remedy")])
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

async fn forwards_what_has_a_default(store: impl Store, odd: &Odd) {
    store.set_timeout(Duration::from_secs(7));
    assert_eq!(*odd.timeout.lock().unwrap(), Some(Duration::from_secs(7)));
    assert!(!store.is_shared());
    assert!(!store.opens_in_outage());
    assert!(!store.limits_scopes());
    assert!(!store.opens_transactions());
    assert_eq!(store.check().await.unwrap()[0].name, "odd");
    let key =
        StorageKey::derive(None, "", &Scope::anonymous(), &IdempotencyKey::parse(b"k").unwrap());
    let seen = PendingRef::new(key, Token::random().unwrap());
    store.wait_for_change(&seen, 3, Duration::MAX).await.unwrap();
    assert_eq!(*odd.waits.lock().unwrap(), 3);
}

#[tokio::test]
async fn a_wrapper_forwards_also_what_has_a_default() {
    let odd = Arc::new(Odd::default());
    forwards_what_has_a_default(Arc::clone(&odd), &odd).await;
    let odd = Arc::new(Odd::default());
    forwards_what_has_a_default(DynStore::new(Arc::clone(&odd)), &odd).await;
}
