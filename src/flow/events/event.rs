//! The [`Event`]: one change of a record, or one request that was told what its record says.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use http::StatusCode;

use crate::flow::kind;
use crate::record::key::{ScopeDigest, StorageKey};
use crate::record::label::RecordLabel;
use crate::record::outcome::NotRetained;
use crate::record::trace::TraceContext;
use crate::store::operator::OperatorAction;
use crate::store::{PreviousAttempt, StoreErrorKind, Token};

/// What a subscriber of [`on_event`](crate::IdempotencyLayer::on_event) is told.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Notice {
    /// Something happened.
    Event(Event),
    /// So many events were lost at this place of the order, because the subscriber was too slow.
    Lost(u64),
}

/// Something that happened to a record, or to a request for one.
///
/// It contains no key of a client, no body and no credential.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Event {
    /// The number of the event in this process. Events that were lost have numbers too.
    pub number: u64,
    /// When it happened, by the clock of this process.
    pub at: SystemTime,
    /// The name of the record. Its first 8 digits are those of the logs.
    pub key: StorageKey,
    /// The digest of the scope. `None`: an operator changed a record without a label.
    pub scope: Option<ScopeDigest>,
    /// The namespace and the route, if the layer
    /// [labels](crate::IdempotencyLayer::label_records) its records.
    pub label: Option<Arc<RecordLabel>>,
    /// The number of the attempt. `None`: the event is about a request without one.
    pub attempt: Option<u32>,
    /// The token of the attempt. A [`Replayed`](EventKind::Replayed) event has that of the attempt
    /// that made the response.
    pub token: Option<Token>,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// An attempt has reserved the key.
    Reserved {
        /// How the attempt before it ended.
        previous: Option<PreviousAttempt>,
        /// The token of the record that it took over.
        replaces: Option<Token>,
        /// See [`Attempt::is_in_doubt`](crate::Attempt::is_in_doubt).
        is_in_doubt: bool,
    },
    /// The lease was renewed.
    Renewed,
    /// The lease was lost while the attempt ran. The attempt goes on.
    LeaseLost(LeaseLoss),
    /// The response is in the record, and is replayed from now on.
    Completed {
        /// The status of the response.
        status: StatusCode,
        /// Why it cannot be replayed. `None`: it can.
        not_retained: Option<NotRetained>,
    },
    /// The record says that the attempt failed.
    Failed {
        /// The status of the response, if there was one.
        status: Option<StatusCode>,
    },
    /// It is unknown how the attempt ended, and it gave its lease up: the record is abandoned. See
    /// [`ResponseDirective::abandoned`](crate::ResponseDirective::abandoned).
    Abandoned,
    /// Nothing happened in a first attempt, and the key is free.
    Released,
    /// Nothing happened in a later attempt, and the record says again what it said before.
    PutBack {
        /// How the attempt before it ended.
        previous: PreviousAttempt,
        /// The token of that attempt, which is again the token of the record.
        token: Option<Token>,
    },
    /// The store failed to write the end of the attempt, though it may have done so. The layer goes
    /// on trying in the background.
    WriteRetried(StoreErrorKind),
    /// The end of the attempt is not in the record, and will not be.
    NotStored(NotStored),
    /// The operation ran without a record, because the store is down.
    Unguarded,
    /// A request got the response of an earlier one.
    Replayed {
        /// The trace of the earlier one, if the layer
        /// [links traces](crate::IdempotencyLayer::link_traces).
        original: Option<TraceContext>,
    },
    /// A request was rejected, with this [code](crate::Rejection::code).
    ///
    /// After `idempotency_store_unavailable` there may be a reservation without an event: its reply
    /// was lost. The next attempt then replaces a token that no event has.
    Rejected {
        /// The code of the rejection.
        code: &'static str,
    },
    /// An operator changed the record. The attempt and the token are those that the operator saw.
    Changed {
        /// What the operator did.
        action: OperatorAction,
        /// The name of the operator.
        by: Arc<str>,
        /// The reason.
        reason: Arc<str>,
        /// The token of the record from now on. `None`: the record was deleted.
        token: Option<Token>,
    },
}

/// How a lease was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LeaseLoss {
    /// Another attempt or an operator has taken the record, or it is gone.
    Taken,
    /// The store could not renew it in time. It may still be renewed.
    Lapsed,
}

/// Why the end of an attempt is not in its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NotStored {
    /// Another attempt or an operator has taken the record. A release that was retried may also
    /// have freed the key before.
    LeaseLost,
    /// The store failed for too long.
    GivenUp,
    /// The transaction was rolled back, or its commit is unconfirmed.
    NotCommitted(StoreErrorKind),
}

impl EventKind {
    /// The kind in one word, for example `reserved` or `lease-lost`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Reserved { .. } => "reserved",
            Self::Renewed => "renewed",
            Self::LeaseLost(_) => "lease-lost",
            Self::Completed { .. } => "completed",
            Self::Failed { .. } => "failed",
            Self::Abandoned => "abandoned",
            Self::Released => "released",
            Self::PutBack { .. } => "put-back",
            Self::WriteRetried(_) => "write-retried",
            Self::NotStored(_) => "not-stored",
            Self::Unguarded => "unguarded",
            Self::Replayed { .. } => "replayed",
            Self::Rejected { .. } => "rejected",
            Self::Changed { .. } => "changed",
        }
    }
}

/// One line for a log: the number, the event, the record, the attempt and its result.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.number, self.kind.word(), self.key)?;
        if let Some(attempt) = self.attempt {
            write!(f, " attempt {attempt}")?;
        }
        match &self.kind {
            EventKind::Completed { status, .. } | EventKind::Failed { status: Some(status) } => {
                write!(f, ": {}", status.as_u16())
            }
            EventKind::WriteRetried(kind) => write!(f, ": {}", kind::word(*kind)),
            EventKind::Rejected { code } => write!(f, ": {code}"),
            EventKind::Changed { action, by, reason, .. } => {
                write!(f, ": {} by {by}: {reason}", action.word())
            }
            _ => Ok(()),
        }
    }
}
