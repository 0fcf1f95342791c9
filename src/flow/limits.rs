//! What entitles a request to begin an operation, besides its key.

use tokio::sync::OwnedSemaphorePermit;

use crate::config::{Config, QuotaGuard, Wanted};
use crate::rejection::Rejection;
use crate::store::Lease;

#[derive(Debug)]
/// Held from before the reservation until the record is settled, or an operation without one has ended.
pub(super) struct Permit {
    _in_flight: Option<OwnedSemaphorePermit>,
    _quota: Option<QuotaGuard>,
}

/// Why an operation may not begin now.
pub(super) struct OverLimit {
    pub(super) rejection: Rejection,
    /// Whether the store may be asked for a response that the request has already.
    pub(super) may_look: bool,
}

impl Permit {
    /// A request that `is_waiting` has been looked up before, and is not limited in that.
    pub(super) fn take(config: &Config, wanted: &Wanted, is_waiting: bool) -> Result<Self, OverLimit> {
        let scope = wanted.reserve.scope;
        if let Some(keys) = config.new_keys.as_ref().filter(|_| !wanted.is_counted)
            && let Some(retry_after) = keys.wait(scope)
        {
            let rejection = Rejection::QuotaExceeded { retry_after };
            return Err(OverLimit { rejection, may_look: is_waiting || keys.may_look(scope) });
        }
        let in_flight = match &config.in_flight_limit {
            None => None,
            Some(limit) => match limit.clone().try_acquire_owned() {
                Ok(permit) => Some(permit),
                Err(_) => {
                    let rejection = Rejection::TooManyInFlight { retry_after: config.retry_after };
                    return Err(OverLimit { rejection, may_look: true });
                }
            },
        };
        let quota = config.quota.as_ref().map(|quota| quota(&wanted.scope)).transpose();
        let quota = quota.map_err(|exceeded| OverLimit {
            rejection: Rejection::QuotaExceeded { retry_after: exceeded.retry_after },
            may_look: exceeded.may_look,
        })?;
        Ok(Self { _in_flight: in_flight, _quota: quota })
    }
}

/// Counts a key that is new, once for each request.
pub(super) fn count_key(config: &Config, wanted: &Wanted, lease: &Lease) -> Result<(), Rejection> {
    let is_new = lease.attempt == 1 && lease.previous.is_none() && !wanted.is_counted;
    match &config.new_keys {
        Some(keys) if is_new => {
            let taken = keys.take(lease.scope);
            taken.map_err(|retry_after| Rejection::QuotaExceeded { retry_after })
        }
        _ => Ok(()),
    }
}
