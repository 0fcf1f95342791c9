//! The errors of a store: a kind to act on, and the source to read.

use std::borrow::Cow;
use std::fmt;
use std::iter::successors;
use std::time::Duration;

/// An error of a store.
pub struct StoreError {
    kind: StoreErrorKind,
    detail: Option<Cow<'static, str>>,
    retry_after: Option<Duration>,
    stays_closed: bool,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What kind of error it is. To a client each of them is a 503, except
/// [`ScopeFull`](Self::ScopeFull), which is a 429.
///
/// Only [`Unavailable`](Self::Unavailable) and [`Timeout`](Self::Timeout) are an outage. They open
/// a layer that is set to
/// [`FailOpenRiskingDoubleEffects`](crate::OnOutage::FailOpenRiskingDoubleEffects), so a store must
/// not return them for what clients can cause by what they send or store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The store cannot be reached, or said that it cannot serve for now.
    Unavailable,
    /// The store did not reply in time, or not before the connection to it was lost. The operation
    /// may have taken effect.
    Timeout,
    /// The store has reached its bound, or its server the limit of its memory or disk. It takes no
    /// new key, and serves those that it has. The layer stores a response without its body then.
    Full,
    /// The scope of the request has used up its share of the store. The store takes no new key for
    /// it, and serves those that it has.
    ScopeFull,
    /// The store can be reached, but it is not set up for the layer: a permission or a table is
    /// missing, the credentials are wrong, or a command is forbidden. An operator must mend it.
    Configuration,
    /// A record is there but cannot be read: it is damaged, another version has written it, or its
    /// name has another use.
    Corrupt,
    /// A response is there, but encrypted: under a key that this process does not have, or for
    /// another record, or it was changed since.
    Decrypt,
    /// The store rejects this operation and would reject it again: a value is too large, or the
    /// database cannot store its characters. The layer then stores the response without its body.
    Rejected,
    /// Another transaction was in the way: a serialization failure, a deadlock, or the same key
    /// from elsewhere. Nothing was written, and the operation may go through when it is tried
    /// again. In transaction mode, the attempt was rolled back.
    Conflict,
    /// Transaction mode: the transaction of the attempt cannot be committed, and was rolled back.
    /// The handler still holds it, or hid that it had failed. Or the handler violated a deferred
    /// constraint, or left settings under which the response cannot be stored. Or the handler has
    /// ended it: what it committed by itself stays.
    TransactionLost,
    /// The store does not have this operation: it has no methods for operators.
    Unsupported,
}

impl StoreErrorKind {
    /// Whether the store is down: it cannot be reached, or did not reply in time. Every other kind
    /// is a reply, so the store would reject the same request again.
    pub(crate) fn is_outage(self) -> bool {
        matches!(self, Self::Unavailable | Self::Timeout)
    }

    /// Whether the store rejects the response of an attempt, and may accept one without a body.
    pub(crate) fn rejects_response(self) -> bool {
        matches!(
            self,
            Self::Rejected | Self::Full | Self::ScopeFull | Self::Configuration | Self::Corrupt
        )
    }
}

impl StoreError {
    /// An error without a source.
    pub fn new(kind: StoreErrorKind) -> Self {
        Self { kind, detail: None, retry_after: None, stays_closed: false, source: None }
    }

    /// An error with its source.
    pub fn with_source(
        kind: StoreErrorKind,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { source: Some(source.into()), ..Self::new(kind) }
    }

    /// Says what is wrong, and what to do about it. `Display` shows it after the kind. It must not
    /// quote what a client has sent, and no password.
    #[must_use]
    pub fn detail(self, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }

    /// The same error as another kind.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn of_kind(self, kind: StoreErrorKind) -> Self {
        Self { kind, ..self }
    }

    /// Puts the place of the error before its detail.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn at(self, place: fmt::Arguments<'_>) -> Self {
        let detail = match &self.detail {
            Some(detail) => format!("{place}: {detail}"),
            None => place.to_string(),
        };
        self.detail(detail)
    }

    /// The same error with a detail, if there is one.
    #[cfg(any(feature = "redis", feature = "postgres", feature = "sqlite"))]
    pub(crate) fn advised(self, advice: Option<impl Into<Cow<'static, str>>>) -> Self {
        match advice {
            Some(advice) => self.detail(advice),
            None => self,
        }
    }

    /// Says when the store may accept the request, for `Retry-After`. Default: the layer's own
    /// [`retry_after`](crate::IdempotencyLayer::retry_after).
    #[must_use]
    pub fn retry_after(self, after: Duration) -> Self {
        Self { retry_after: Some(after), ..self }
    }

    /// When the store may accept the request, if it knows.
    pub(crate) fn said_retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Says that this error never opens a layer, not even one that is set to
    /// [`FailOpenRiskingDoubleEffects`](crate::OnOutage::FailOpenRiskingDoubleEffects). A store
    /// says so if
    ///
    /// - the key has a record that could not be returned whole: the operation has run, or runs now,
    /// - the server has replied, and clients may be the cause: a lock, a statement that was
    ///   cancelled, a pool that is used up.
    #[must_use]
    pub fn stays_closed(self) -> Self {
        Self { stays_closed: true, ..self }
    }

    /// Whether a layer that opens in an outage may run the operation without a record.
    pub(crate) fn may_open(&self) -> bool {
        self.kind.is_outage() && !self.stays_closed
    }

    /// What kind of error it is.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            StoreErrorKind::Unavailable => "the idempotency store is unavailable",
            StoreErrorKind::Timeout => "the idempotency store did not reply",
            StoreErrorKind::Full => "the idempotency store is full",
            StoreErrorKind::ScopeFull => "the scope has used up its share of the idempotency store",
            StoreErrorKind::Configuration => "the idempotency store is not set up for the layer",
            StoreErrorKind::Corrupt => {
                "the idempotency store contains a record that cannot be read"
            }
            StoreErrorKind::Decrypt => {
                "the idempotency store contains a response that cannot be decrypted"
            }
            StoreErrorKind::Rejected => "the idempotency store rejects this operation",
            StoreErrorKind::Conflict => "another transaction was in the way",
            StoreErrorKind::TransactionLost => "the transaction of the attempt cannot be committed",
            StoreErrorKind::Unsupported => "the idempotency store does not support this operation",
        })?;
        self.detail.as_ref().map_or(Ok(()), |detail| write!(f, ": {detail}"))
    }
}

/// The text of the error and of its sources, because `main` shows an error by `Debug`.
impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind)?;
        let sources = successors(std::error::Error::source(self), |&error| error.source());
        sources.into_iter().try_for_each(|source| write!(f, ": {source}"))
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
