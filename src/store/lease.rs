//! The right to settle one attempt, and the result of using it.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use super::{OpenTransaction, Record, ReserveRequest, State, Token};
use crate::record::fingerprint::Fingerprint;
use crate::record::key::{ScopeDigest, StorageKey};
use crate::record::label::RecordLabel;
use crate::record::outcome::{NotRetained, Outcome, StoredBody};

/// The right to settle one attempt.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Lease {
    /// The name of the record.
    pub key: StorageKey,
    /// See [`ReserveRequest::scope`].
    pub scope: ScopeDigest,
    /// It distinguishes this attempt from every other one for the key.
    pub token: Token,
    /// The request that the key is bound to.
    pub fingerprint: Fingerprint,
    /// 1 for the first attempt since the key was last free.
    pub attempt: u32,
    /// How the attempt before this one ended.
    pub previous: Option<PreviousAttempt>,
    /// The token of the record that this attempt took over; `None` for the first attempt.
    pub replaces: Option<Token>,
    /// See [`ReserveRequest::lease`]. In a renewal, zero gives the lease up.
    pub lease: Duration,
    /// See [`ReserveRequest::retention`].
    pub retention: Duration,
    /// See [`ReserveRequest::label`].
    pub label: Option<Arc<RecordLabel>>,
    /// When the attempt was reserved, by the clock of its process. A store whose server keeps no
    /// such time writes how long ago it was.
    pub(crate) since: Instant,
    /// In transaction mode: the transaction that the attempt runs in. Such a lease does not lapse.
    pub transaction: Option<OpenTransaction>,
}

impl Lease {
    /// The lease for the first attempt that `request` asks for.
    pub fn first(request: &ReserveRequest, token: Token) -> Self {
        Self {
            key: request.key,
            scope: request.scope,
            token,
            fingerprint: request.fingerprint,
            attempt: 1,
            previous: None,
            replaces: None,
            lease: request.lease,
            retention: request.retention,
            label: request.label.clone(),
            since: Instant::now(),
            transaction: None,
        }
    }

    /// The lease for the attempt after the one of `found`.
    pub fn after(request: &ReserveRequest, token: Token, found: &Record) -> Self {
        let previous = match &found.state {
            State::Failed(outcome) => {
                PreviousAttempt::Failed { status: outcome.as_ref().map(|outcome| outcome.status) }
            }
            State::Pending { .. } | State::Success(_) => PreviousAttempt::Abandoned,
        };
        Self {
            attempt: found.attempt.saturating_add(1),
            previous: Some(previous),
            replaces: Some(found.token),
            ..Self::first(request, token)
        }
    }

    /// The record that [`Store::release`](super::Store::release) leaves: the one that this attempt
    /// took over, with the number of this attempt. `None` for the first attempt, because the key is
    /// free again.
    ///
    /// A failed record has the status of its response and not the response, because a failure that
    /// is taken over is not replayed. An abandoned record is a pending one whose lease has lapsed.
    pub fn put_back(&self) -> Option<Record> {
        let state =
            match self.previous? {
                PreviousAttempt::Failed { status } => State::Failed(status.map(|status| {
                    Outcome::new(status, StoredBody::NotRetained(NotRetained::Failure))
                })),
                PreviousAttempt::Abandoned => State::Pending { abandoned: true },
            };
        Some(Record::new(self.fingerprint, self.attempt, self.replaces?, state))
    }

    /// The same lease, of an attempt that runs in a transaction.
    #[must_use]
    pub fn in_transaction(self, transaction: OpenTransaction) -> Self {
        Self { transaction: Some(transaction), ..self }
    }

    /// The same lease with no time left, by which an attempt gives it up.
    pub(crate) fn given_up(&self) -> Self {
        Self { lease: Duration::ZERO, ..self.clone() }
    }

    /// The lease in milliseconds. One that is given up has none, so that it has lapsed at once.
    #[cfg(any(feature = "redis", feature = "postgres", feature = "sqlite"))]
    pub(super) fn lease_millis(&self) -> usize {
        if self.lease.is_zero() { 0 } else { millis(self.lease) }
    }

    /// The lease of a reservation whose operation never began. A release under it restores what the
    /// reservation found.
    pub(crate) fn never_begun(self) -> Self {
        Self { attempt: self.attempt.saturating_sub(1), ..self }
    }
}

/// How the attempt before this one ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PreviousAttempt {
    /// It ended without a definitive response: a panic or an error of the service, or a response
    /// with this status.
    Failed {
        /// The status of the response, if there was one.
        status: Option<StatusCode>,
    },
    /// Its lease lapsed, or it gave its lease up. It may have done none, some or all of its work.
    Abandoned,
}

/// The result of a settling write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "a lost lease means that nothing was written"]
pub enum Settlement {
    /// The record was changed.
    Applied,
    /// The record is no longer this attempt's. Nothing was changed.
    LeaseLost,
}

#[cfg(any(feature = "redis", feature = "postgres", feature = "sqlite"))]
/// Milliseconds, in which servers count. They are rounded up, because 0 would mean "at once" or
/// "never".
pub(super) fn millis(duration: Duration) -> usize {
    // Some thirty thousand years, which every server accepts.
    const MOST: u128 = 1_000_000_000_000_000;
    let up = duration.as_nanos().div_ceil(1_000_000);
    usize::try_from(up.clamp(1, MOST)).unwrap_or(usize::MAX)
}
