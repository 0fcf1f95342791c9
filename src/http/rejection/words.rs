//! What a refusal says to people: the title, the page that explains it, and the detail.

use std::fmt;

use super::Rejection;

impl Rejection {
    /// The `title` member: what kind of problem it is.
    pub fn title(&self) -> &'static str {
        self.spec().title
    }

    /// The `type` member: a page that explains the problem.
    pub fn type_uri(&self) -> String {
        let variant = self.spec().variant;
        format!(
            "https://docs.rs/tower-idempotency/latest/tower_idempotency/enum.Rejection.html#variant.{variant}"
        )
    }
}

/// The `detail` member: what happened, and what the client can do.
impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyMissing => f.write_str(
                "This operation requires an idempotency key. Send one that is new for each operation.",
            ),
            Self::KeyInvalid(error) => {
                let max = crate::record::key::IdempotencyKey::MAX_LEN;
                write!(
                    f,
                    "Not a key: {error}. A key is 1 to {max} bytes of visible ASCII, sent once."
                )
            }
            Self::RequestUnreadable => {
                f.write_str("The request body ended before its end. Nothing was done.")
            }
            Self::RequestTooLarge { limit: Some(limit) } => {
                write!(f, "The request body is larger than {limit} bytes. Nothing was done.")
            }
            Self::RequestTooLarge { limit: None } => {
                f.write_str("The request body is too large. Nothing was done.")
            }
            Self::RequestTimeout => f.write_str(
                "The request body stopped coming. Nothing was done; send the request again with the same key.",
            ),
            Self::KeyReused { .. } => f.write_str(
                "This key was used for another request. Use a new key for a new operation, or repeat the first \
                 request unchanged.",
            ),
            Self::InFlight { .. } => {
                f.write_str("A request with this key is still running. Ask again later.")
            }
            Self::ResultNotRetained { original_status, .. } => write!(
                f,
                "The operation was done and answered with {}, but its answer was not kept. It is not done again.",
                original_status.as_u16()
            ),
            Self::OutcomeUnknown => f.write_str(
                "An earlier attempt was cut off, and nobody knows how far it got. It is not done again.",
            ),
            Self::AttemptFailed { .. } => {
                f.write_str("An earlier attempt failed. It is not done again under this key.")
            }
            Self::TooManyInFlight { .. } => f.write_str(
                "This server has as many operations in flight as it takes. Nothing was done; ask again later.",
            ),
            Self::QuotaExceeded { .. } => {
                f.write_str("You have used up your quota. Nothing was done; ask again later.")
            }
            Self::ShuttingDown { .. } => {
                f.write_str("This server is shutting down and began nothing. Ask again later.")
            }
            Self::StoreUnavailable { .. } => f.write_str(
                "The request could not be checked against earlier ones, so nothing was done. Ask again later.",
            ),
            Self::CommitUnconfirmed { .. } => f.write_str(
                "The operation could not be confirmed: it was done once or not at all. Ask again later with the same \
                 key, and the answer tells.",
            ),
            Self::TransactionLost => {
                f.write_str("The operation could not be finished because of a fault in this server.")
            }
        }
    }
}

impl std::error::Error for Rejection {}
