//! Stores with a gap between their look at a record and their write.

use std::time::Duration;

use tower_idempotency::store::{
    Lease, Record, Reservation, ReserveRequest, State, StorageKey, Store, StoreError, Token,
};

use super::{Fault, Faulty};

/// Long for a gap, so that a machine with other work cannot hide it.
const GAP: Duration = Duration::from_micros(50);

impl Faulty {
    /// The record as it was some time ago. There is no await in that time.
    async fn looks_early(&self, key: &StorageKey) -> Result<Option<Record>, StoreError> {
        let seen = self.inner.inspect(key).await;
        std::thread::sleep(GAP);
        seen
    }

    /// Reserves by what was there at the first look.
    pub(super) async fn reserves_by_an_early_look(
        &self,
        request: &ReserveRequest,
    ) -> Result<Reservation, StoreError> {
        let seen = self.looks_early(&request.key).await?;
        let reservation = self.inner.reserve(request).await?;
        let token = Token::random()?;
        Ok(match (&reservation, seen) {
            (Reservation::Found(_), None) if self.fault == Fault::ReservesByAnEarlyLook => {
                Reservation::Acquired(Lease::first(request, token))
            }
            (Reservation::Found(_), Some(seen))
                if self.fault == Fault::TakesOverByAnEarlyLook && seen.yields_to(request) =>
            {
                Reservation::Acquired(Lease::after(request, token, &seen))
            }
            _ => reservation,
        })
    }

    /// Whether the record was pending under the token at the first look, and this counts.
    pub(super) async fn was_pending(&self, lease: &Lease) -> Result<bool, StoreError> {
        if self.fault != Fault::SettlesByAnEarlyLook {
            return Ok(false);
        }
        let seen = self.looks_early(&lease.key).await?;
        Ok(seen.is_some_and(|seen| {
            seen.token == lease.token && matches!(seen.state, State::Pending { .. })
        }))
    }
}
