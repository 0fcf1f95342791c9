//! What entitles a request to begin an operation, besides its key.

use tokio::sync::OwnedSemaphorePermit;

use crate::flow::requested::Requested;
use crate::http::rejection::Rejection;
use crate::record::key::Scope;
use crate::settings::{Config, QuotaGuard};
use crate::store::Lease;

/// Held from before the reservation until the record is settled, or an operation without one has ended.
#[derive(Debug)]
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
    pub(super) fn take(config: &Config, scope: &Scope) -> Result<Self, OverLimit> {
        let in_flight = match &config.in_flight_limit {
            None => None,
            Some(limit) => {
                let Ok(permit) = limit.clone().try_acquire_owned() else {
                    let rejection = Rejection::TooManyInFlight { retry_after: config.policies.retry_after };
                    return Err(OverLimit { rejection, may_look: true });
                };
                Some(permit)
            }
        };
        let quota = config.quota.as_ref().map(|quota| quota(scope)).transpose();
        let quota = quota.map_err(|exceeded| OverLimit {
            rejection: Rejection::QuotaExceeded { retry_after: exceeded.retry_after },
            may_look: exceeded.may_look,
        })?;
        Ok(Self { _in_flight: in_flight, _quota: quota })
    }
}

/// Whether the scope is known to have no new key left. A request that `is_waiting` has been looked up
/// before, and is not limited in that.
pub(super) fn exhausted(config: &Config, requested: &Requested, is_waiting: bool) -> Option<OverLimit> {
    let scope = requested.reserve.scope;
    let keys = config.new_keys.as_ref().filter(|_| !requested.is_counted)?;
    let rejection = Rejection::QuotaExceeded { retry_after: keys.wait(scope)? };
    Some(OverLimit { rejection, may_look: is_waiting || keys.may_look(scope) })
}

/// Counts a key that is new, once for each request.
pub(super) fn count_key(config: &Config, requested: &Requested, lease: &Lease) -> Result<(), Rejection> {
    let is_new = lease.attempt == 1 && lease.previous.is_none() && !requested.is_counted;
    match &config.new_keys {
        Some(keys) if is_new => {
            let taken = keys.take(lease.scope);
            taken.map_err(|retry_after| Rejection::QuotaExceeded { retry_after })
        }
        _ => Ok(()),
    }
}
