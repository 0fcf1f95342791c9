//! What a record that was found means for the request.

use http::header;

use crate::config::{Config, OnFailed};
use crate::outcome::Outcome;
use crate::rejection::Rejection;
use crate::store::{Record, Reserve, Seen, State};

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for a moment, and a box would cost more than the move"
)]
pub(super) enum Decision {
    Replay(Outcome),
    Refuse(Rejection),
    InFlight(Seen),
}

/// What a record that was not taken over means for the request. The fingerprint comes first, whatever the state.
pub(super) fn decide(found: Record, reserve: &Reserve, config: &Config) -> Decision {
    if found.fingerprint != reserve.fingerprint {
        return Decision::Refuse(config.key_reused());
    }
    match found.state {
        State::Pending { abandoned: false } => {
            Decision::InFlight(Seen { key: reserve.key, token: found.token })
        }
        State::Pending { abandoned: true } => Decision::Refuse(Rejection::OutcomeUnknown),
        State::Success(outcome) if outcome.is_replayable() => Decision::Replay(outcome),
        State::Success(Outcome { status, headers, .. }) => Decision::Refuse(Rejection::ResultNotRetained {
            original_status: status,
            location: headers.get(header::LOCATION).cloned(),
        }),
        State::Failed(outcome) => match (config.on_failed, outcome) {
            // It failed while this request waited for it; the next one runs it again.
            (OnFailed::Rerun, _) => Decision::Refuse(config.in_flight()),
            (OnFailed::Replay, Some(outcome)) if outcome.is_replayable() => Decision::Replay(outcome),
            (_, outcome) => Decision::Refuse(Rejection::AttemptFailed {
                original_status: outcome.map(|outcome| outcome.status),
            }),
        },
    }
}

#[cfg(test)]
mod tests;
