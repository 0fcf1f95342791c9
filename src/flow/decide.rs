//! What a record in the store means for a request.

use http::{HeaderValue, header};

use super::admission::Admission;
use crate::http::rejection::Rejection;
use crate::record::outcome::Outcome;
use crate::settings::{Config, OnFailed};
use crate::store::{PendingRef, Record, ReserveRequest, State};

/// Decides what a record that was not taken over means for a request. The fingerprint is compared
/// first, in every state.
pub(super) fn decide(found: Record, reserve: &ReserveRequest, config: &Config) -> Admission {
    if found.fingerprint != reserve.fingerprint {
        return Admission::Reject(config.key_reused());
    }
    let origin = (found.attempt, found.token);
    match found.state {
        State::Pending { abandoned: false } => {
            Admission::InFlight(PendingRef::new(reserve.key, found.token))
        }
        State::Pending { abandoned: true } => Admission::Reject(Rejection::OutcomeUnknown),
        State::Success(outcome) if outcome.is_replayable() => Admission::Replay(outcome, origin),
        State::Success(Outcome { status, headers, .. }) => {
            Admission::Reject(Rejection::ResultNotRetained {
                original_status: status,
                location: headers.get(header::LOCATION).cloned().map(secret),
            })
        }
        State::Failed(outcome) => match (config.policies.on_failed, outcome) {
            // The attempt failed while this request waited for it. The next request runs it again.
            (OnFailed::Rerun, _) => Admission::Reject(config.in_flight()),
            (OnFailed::Replay, Some(outcome)) if outcome.is_replayable() => {
                Admission::Replay(outcome, origin)
            }
            (_, outcome) => Admission::Reject(Rejection::AttemptFailed {
                original_status: outcome.map(|outcome| outcome.status),
            }),
        },
    }
}

/// Hides a `Location` from `Debug` of a rejection, because it can contain a signature.
fn secret(mut location: HeaderValue) -> HeaderValue {
    location.set_sensitive(true);
    location
}

/// Turns a record into a replay or a rejection. The fuzz targets call it.
#[cfg(fuzzing)]
pub(crate) fn decided(
    record: Record,
    reserve: &ReserveRequest,
    config: &Config,
) -> Option<Result<Outcome, Rejection>> {
    match decide(record, reserve, config) {
        Admission::Replay(outcome, _) => Some(Ok(outcome)),
        Admission::Reject(rejection) => Some(Err(rejection)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
