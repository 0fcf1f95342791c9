//! How an attempt ended, and the write that settles its record.

use std::time::Duration;

use http::{HeaderMap, header};

use super::events::{EventKind, Origin};
use super::shared::{Shared, within};
use super::telemetry;
use crate::record::outcome::{NotRetained, Outcome, StoredBody};
use crate::record::trace::TraceContext;
use crate::settings::Config;
use crate::store::{Lease, Settlement, Store, StoreError, StoreErrorKind};

/// How the attempt ended, as its record is settled. The durations are retentions.
pub(super) enum SettleAs {
    Complete(Outcome, Duration),
    Fail(Option<Outcome>, Duration),
    /// Nothing happened.
    Release,
    /// It is unknown how the attempt ended. The lease is given up.
    Abandon,
}

/// The result of one write.
pub(super) enum WriteResult {
    Applied,
    LeaseLost,
    Failed(StoreErrorKind),
}

/// The result of all writes, as it concerns the client.
pub(super) enum SettleResult {
    /// The end of the attempt is in the store, or its write is retried in the background.
    Stored,
    /// Another attempt has taken the record over, so nothing was written. Contains the response of
    /// that attempt, if it has one.
    LeaseLost(Option<Box<(Outcome, Origin)>>),
    /// The transaction of the attempt was rolled back, or its commit is unconfirmed. The response
    /// does not count.
    NotCommitted(StoreErrorKind),
}

impl SettleAs {
    /// The name of the operation in logs and metrics.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Complete(..) => "complete",
            Self::Fail(..) => "fail",
            Self::Release => "release",
            Self::Abandon => "abandon",
        }
    }

    /// The event that tells of it.
    pub(super) fn event(&self, lease: &Lease) -> EventKind {
        match (self, lease.previous) {
            (Self::Complete(Outcome { status, body, .. }, _), _) => EventKind::Completed {
                status: *status,
                not_retained: match body {
                    StoredBody::NotRetained(reason) => Some(*reason),
                    _ => None,
                },
            },
            (Self::Fail(outcome, _), _) => {
                EventKind::Failed { status: outcome.as_ref().map(|outcome| outcome.status) }
            }
            (Self::Release, None) => EventKind::Released,
            (Self::Release, Some(previous)) => {
                EventKind::PutBack { previous, token: lease.replaces }
            }
            (Self::Abandon, _) => EventKind::Abandoned,
        }
    }

    /// Whether it stores nothing that another attempt lacks, so that a lost lease is as good.
    pub(super) fn stores_nothing(&self) -> bool {
        matches!(self, Self::Release | Self::Abandon)
    }

    /// Stores with a response the trace that it was made in.
    pub(super) fn set_trace(&mut self, trace: &TraceContext) {
        if let Self::Complete(outcome, _) | Self::Fail(Some(outcome), _) = self {
            outcome.set_trace(trace);
        }
    }

    /// The size of the response body in bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Complete(outcome, _) | Self::Fail(Some(outcome), _) => outcome.bytes().len(),
            Self::Fail(None, _) | Self::Release | Self::Abandon => 0,
        }
    }

    /// The same end of the attempt with only the status and the `Location` of its response. `None`
    /// if it has no response.
    pub(super) fn without_body(&self) -> Option<Self> {
        self.with_headers(|outcome| {
            let location = outcome.headers.get(header::LOCATION);
            location.map(|value| (header::LOCATION, value.clone())).into_iter().collect()
        })
    }

    /// The same end of the attempt with only the status, because a `Location` may be long.
    pub(super) fn without_headers(&self) -> Option<Self> {
        self.with_headers(|_| HeaderMap::new())
    }

    fn with_headers(&self, headers: impl Fn(&Outcome) -> HeaderMap) -> Option<Self> {
        let bare = |outcome: &Outcome| {
            let headers = headers(outcome);
            let body = StoredBody::NotRetained(NotRetained::Rejected);
            Outcome { status: outcome.status, headers, request_id: None, body }
        };
        match self {
            Self::Complete(outcome, retention) => Some(Self::Complete(bare(outcome), *retention)),
            Self::Fail(Some(outcome), retention) => {
                Some(Self::Fail(Some(bare(outcome)), *retention))
            }
            Self::Fail(None, _) | Self::Release | Self::Abandon => None,
        }
    }

    /// Writes it into the record once.
    pub(super) async fn write<St: Store>(
        &self,
        shared: &Shared<St>,
        config: &Config,
        lease: &Lease,
    ) -> Result<Settlement, StoreError> {
        let (bound, store) = (config.store_timeout, &shared.store);
        let began = telemetry::begins();
        let written = match self {
            Self::Complete(outcome, retention) => {
                let packed = config.pack(lease, outcome, false)?;
                let outcome = packed.as_deref().unwrap_or(outcome);
                within(bound, store.complete(lease, outcome, *retention)).await
            }
            Self::Fail(outcome, retention) => {
                let packed = match outcome {
                    Some(outcome) => config.pack(lease, outcome, true)?,
                    None => None,
                };
                let outcome = packed.as_deref().or(outcome.as_ref());
                within(bound, store.fail(lease, outcome, *retention)).await
            }
            Self::Release => within(bound, store.release(lease)).await,
            Self::Abandon => {
                let given_up = lease.given_up();
                within(bound, store.renew(&given_up)).await
            }
        };
        telemetry::store_took(lease.label.as_ref(), self.word(), began);
        if matches!(written, Ok(Settlement::Applied)) {
            shared.observer.stored(lease, || self.event(lease));
        }
        written
    }
}
