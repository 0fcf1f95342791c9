//! What a record that was found means for the request.

use http::{HeaderValue, header};

use super::admission::Admission;
use crate::http::rejection::Rejection;
use crate::record::outcome::Outcome;
use crate::settings::{Config, OnFailed};
use crate::store::{PendingRef, Record, ReserveRequest, State};

/// What a record that was not taken over means for the request. The fingerprint comes first, whatever the state.
pub(super) fn decide(found: Record, reserve: &ReserveRequest, config: &Config) -> Admission {
    if found.fingerprint != reserve.fingerprint {
        return Admission::Reject(config.key_reused());
    }
    match found.state {
        State::Pending { abandoned: false } => {
            Admission::InFlight(PendingRef { key: reserve.key, token: found.token })
        }
        State::Pending { abandoned: true } => Admission::Reject(Rejection::OutcomeUnknown),
        State::Success(outcome) if outcome.is_replayable() => Admission::Replay(outcome),
        State::Success(Outcome { status, headers, .. }) => Admission::Reject(Rejection::ResultNotRetained {
            original_status: status,
            location: headers.get(header::LOCATION).cloned().map(secret),
        }),
        State::Failed(outcome) => match (config.policies.on_failed, outcome) {
            // It failed while this request waited for it; the next one runs it again.
            (OnFailed::Rerun, _) => Admission::Reject(config.in_flight()),
            (OnFailed::Replay, Some(outcome)) if outcome.is_replayable() => Admission::Replay(outcome),
            (_, outcome) => Admission::Reject(Rejection::AttemptFailed {
                original_status: outcome.map(|outcome| outcome.status),
            }),
        },
    }
}

/// A `Location` can contain a signature, which `Debug` of a rejection must not show.
fn secret(mut location: HeaderValue) -> HeaderValue {
    location.set_sensitive(true);
    location
}

/// The response to a record that was found: a replay or a rejection. The fuzz targets use it.
#[cfg(fuzzing)]
pub(crate) fn decided(
    record: Record,
    reserve: &ReserveRequest,
    config: &Config,
) -> Option<Result<Outcome, Rejection>> {
    match decide(record, reserve, config) {
        Admission::Replay(outcome) => Some(Ok(outcome)),
        Admission::Reject(rejection) => Some(Err(rejection)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
