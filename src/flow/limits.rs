//! What entitles a request to begin an operation, besides its key.

use tokio::sync::OwnedSemaphorePermit;

use crate::config::{Config, QuotaGuard};
use crate::key::Scope;
use crate::rejection::Rejection;

#[derive(Debug)]
/// Held from before the reservation until the record is settled, or an operation without one has ended.
pub(super) struct Permit {
    _in_flight: Option<OwnedSemaphorePermit>,
    _quota: Option<QuotaGuard>,
}

impl Permit {
    pub(super) fn take(config: &Config, scope: &Scope) -> Result<Self, Rejection> {
        let in_flight = match &config.in_flight_limit {
            None => None,
            Some(limit) => match limit.clone().try_acquire_owned() {
                Ok(permit) => Some(permit),
                Err(_) => return Err(Rejection::TooManyInFlight { retry_after: config.retry_after }),
            },
        };
        let quota = config.quota.as_ref().map(|quota| quota(scope)).transpose();
        let quota =
            quota.map_err(|exceeded| Rejection::QuotaExceeded { retry_after: exceeded.retry_after })?;
        Ok(Self { _in_flight: in_flight, _quota: quota })
    }
}
