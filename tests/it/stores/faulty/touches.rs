//! Stores in which a look at a record gives it more time.

use std::time::Duration;

use tokio::time::Instant;
use tower_idempotency::store::{Record, State, StorageKey, Store, StoreError};

use super::{Fault, Faulty};

/// How much longer a record stays that was looked at.
const LONGER: Duration = Duration::from_secs(5);

impl Faulty {
    /// Gives the record more time, if that is the fault of this kind of look.
    pub(super) async fn touches(
        &self,
        key: &StorageKey,
        restarts: Fault,
        keeps: Fault,
    ) -> Result<(), StoreError> {
        let found = self.inner.inspect(key).await?;
        if let (Some(record), true) = (&found, self.fault == keeps) {
            let until = Instant::now() + LONGER;
            self.kept.lock().unwrap().insert(*key, (record.clone(), until));
        }
        let is_pending = found.is_some_and(|record| matches!(record.state, State::Pending { .. }));
        if let (Some(lease), true) = (self.latest(key), is_pending && self.fault == restarts) {
            let _ = self.inner.renew(&lease).await?;
        }
        Ok(())
    }

    /// The record that is still found only because it was looked at.
    pub(super) async fn kept(&self, key: &StorageKey) -> Result<Option<Record>, StoreError> {
        if self.inner.inspect(key).await?.is_some() {
            return Ok(None);
        }
        let kept = self.kept.lock().unwrap().get(key).cloned();
        Ok(kept.filter(|(_, until)| Instant::now() < *until).map(|(record, _)| record))
    }
}
