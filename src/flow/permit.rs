//! The limits that allow an operation to begin: `max_in_flight`, the quota, and new keys.

use tokio::sync::OwnedSemaphorePermit;

use super::requested::Requested;
use crate::http::rejection::Rejection;
use crate::record::key::Scope;
use crate::settings::{Config, QuotaGuard};
use crate::store::Lease;

/// The permits of one operation. It has them from before the reservation until its record is
/// settled, or, without a record, until it has ended.
#[derive(Debug)]
pub(super) struct Permit {
    _in_flight: Option<OwnedSemaphorePermit>,
    _quota: Option<QuotaGuard>,
}

/// Why an operation may not begin now.
pub(super) struct OverLimit {
    pub(super) rejection: Rejection,
    /// Whether the layer may query the store for a stored response.
    pub(super) may_look: bool,
}

impl Permit {
    pub(super) fn take(config: &Config, scope: &Scope) -> Result<Self, OverLimit> {
        let in_flight = match &config.in_flight_limit {
            None => None,
            Some(limit) => {
                let Ok(permit) = limit.clone().try_acquire_owned() else {
                    let rejection =
                        Rejection::TooManyInFlight { retry_after: config.policies.retry_after };
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

/// Whether the scope is known to have no new key left. For a request that `is_waiting`, the queries
/// of the store are not limited, because its key was found before.
pub(super) fn exhausted(
    config: &Config,
    requested: &Requested,
    is_waiting: bool,
) -> Option<OverLimit> {
    let scope = requested.reserve.scope;
    let keys = config.new_keys.as_ref().filter(|_| !requested.is_counted)?;
    let rejection = Rejection::QuotaExceeded { retry_after: keys.wait(scope)? };
    Some(OverLimit { rejection, may_look: is_waiting || keys.may_look(scope) })
}

/// Counts a new key, once for each request.
pub(super) fn count_key(
    config: &Config,
    requested: &Requested,
    lease: &Lease,
) -> Result<(), Rejection> {
    let is_new = lease.attempt == 1 && lease.previous.is_none() && !requested.is_counted;
    match &config.new_keys {
        Some(keys) if is_new => {
            let taken = keys.take(lease.scope);
            taken.map_err(|retry_after| Rejection::QuotaExceeded { retry_after })
        }
        _ => Ok(()),
    }
}
