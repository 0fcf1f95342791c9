//! Tries every operation of a store.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tokio::time::Instant;

use crate::flow::shared::within;
use crate::record::fingerprint::Fingerprint;
use crate::record::key::{IdempotencyKey, Scope, ScopeDigest};
use crate::record::outcome::{Outcome, StoredBody};
use crate::settings::Config;
use crate::store::{
    Lease, Reservation, ReserveRequest, Settlement, State, Store, StoreError, StoreErrorKind, Token,
};

/// Large enough that each store stores it as a large body.
const BODY: usize = 64 << 10;

/// How long the record of the probe stays.
const RETENTION: Duration = Duration::from_secs(1);

/// Reserves, renews and releases one key. Reserves and completes another, and reads its record.
/// Returns the time of the slowest operation.
pub(super) async fn probe<St: Store>(store: &St, config: &Config) -> Result<Duration, StoreError> {
    let mut clock = Clock { bound: config.store_timeout, slowest: Duration::ZERO };
    let lease = clock.reserve(store, config).await?;
    // A transaction has no lease to renew.
    if lease.transaction.is_none() {
        applied(clock.time(store.renew(&lease)).await?)?;
    }
    applied(clock.time(store.release(&lease)).await?)?;

    let lease = clock.reserve(store, config).await?;
    let body = Bytes::from(vec![b'.'; BODY.min(config.max_response)]);
    let outcome = Outcome::new(StatusCode::OK, StoredBody::Whole { bytes: body, trailers: None });
    let written = Instant::now();
    applied(clock.time(store.complete(&lease, &outcome, RETENTION)).await?)?;
    match clock.time(store.inspect(&lease.key)).await?.map(|record| record.state) {
        Some(State::Success(found)) if found == outcome => Ok(clock.slowest),
        // It may have expired.
        None if written.elapsed() >= RETENTION => Ok(clock.slowest),
        _ => Err(StoreError::new(StoreErrorKind::Corrupt)
            .detail("a response is not in the store after it was written")),
    }
}

/// Times the operations of the store.
struct Clock {
    bound: Duration,
    slowest: Duration,
}

impl Clock {
    async fn time<T>(
        &mut self,
        operation: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let begun = Instant::now();
        let reply = within(self.bound, operation).await;
        self.slowest = self.slowest.max(begun.elapsed());
        reply
    }

    /// Reserves a key that has never been used.
    async fn reserve<St: Store>(
        &mut self,
        store: &St,
        config: &Config,
    ) -> Result<Lease, StoreError> {
        let token = Token::random()?;
        let scope = Scope::new([b"check ".as_slice(), token.as_bytes()].concat());
        let key = IdempotencyKey::parse(b"check")
            .map_err(|error| StoreError::with_source(StoreErrorKind::Rejected, error))?;
        let key = config.storage_key(&scope, &key);
        // The record must outlive slow operations, however short the lease of the layer is.
        let retention = config.lease.saturating_mul(2).max(config.store_timeout.saturating_mul(4));
        let request = ReserveRequest::new(key, Fingerprint::of_fields([b"check"]))
            .scope(ScopeDigest::UNSET)
            .lease(config.lease)
            .retention(retention);
        match self.time(store.reserve(&request)).await? {
            Reservation::Acquired(lease) => Ok(lease),
            Reservation::Found(_) => Err(StoreError::new(StoreErrorKind::Corrupt)
                .detail("a key that was never used has a record")),
        }
    }
}

fn applied(settlement: Settlement) -> Result<(), StoreError> {
    match settlement {
        Settlement::Applied => Ok(()),
        Settlement::LeaseLost => Err(StoreError::new(StoreErrorKind::Corrupt)
            .detail("a record was gone, or changed, just after it was written")),
    }
}
