//! Rejections for tests.

use std::time::Duration;

use http::StatusCode;

use super::{OnMismatch, Rejection};
use crate::record::key::KeyError;
use crate::store::StoreErrorKind;

/// One rejection of each kind.
pub(crate) fn every() -> [Rejection; 16] {
    let (retry_after, kind) = (Duration::from_millis(1_250), StoreErrorKind::Timeout);
    [
        Rejection::KeyMissing,
        Rejection::KeyInvalid(KeyError::Empty),
        Rejection::RequestUnreadable,
        Rejection::RequestTooLarge { limit: Some(10) },
        Rejection::RequestTimeout,
        Rejection::KeyReused { status: OnMismatch::Conflict },
        Rejection::InFlight { retry_after },
        Rejection::ResultNotRetained { original_status: StatusCode::OK, location: None },
        Rejection::OutcomeUnknown,
        Rejection::AttemptFailed { original_status: None },
        Rejection::TooManyInFlight { retry_after },
        Rejection::QuotaExceeded { retry_after },
        Rejection::ShuttingDown { retry_after },
        Rejection::StoreUnavailable { kind, retry_after },
        Rejection::CommitUnconfirmed { kind, retry_after },
        Rejection::TransactionLost,
    ]
}
