//! Reports an operation while it runs: the fields of its span, the metrics, and the events.
//!
//! The flow calls one function for each thing that happens. Without a subscriber, a recorder or a
//! listener, each costs a branch or two.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Method;
use tracing::field::{self, Empty};
use tracing::{Level, Span, debug_span, span_enabled};

use super::events::{About, EventKind, Events, LeaseLoss, NotStored, Origin};
use super::telemetry::{self, Began};
use crate::record::label::RecordLabel;
use crate::record::outcome::Outcome;
use crate::settings::Config;
use crate::store::operator::{AuditEntry, Becomes, RecordInfo};
use crate::store::{Lease, ReserveRequest, StoreErrorKind};

/// The field by which a span says that it is the one of the request.
const OUTCOME: &str = "idempotency.outcome";

/// Tells what happens to the operations of a layer.
#[derive(Default)]
pub(crate) struct Observer {
    pub(crate) events: Events,
    /// How many requests wait for another one.
    pub(crate) waiting: AtomicUsize,
}

/// The span of a guarded request. `None`: spans at `debug` are off, or the span of the caller
/// declares the fields itself.
pub(crate) fn span(method: Option<&Method>) -> Option<Span> {
    if !span_enabled!(Level::DEBUG) || Span::current().has_field(OUTCOME) {
        return None;
    }
    let span = debug_span!(
        "idempotency",
        idempotency.key = Empty,
        idempotency.attempt = Empty,
        idempotency.outcome = Empty,
        idempotency.namespace = Empty,
        idempotency.original.traceparent = Empty,
        http.request.method = method.map(Method::as_str),
        http.route = Empty,
        "error.type" = Empty,
    );
    (!span.is_disabled()).then_some(span)
}

/// The key was read. Its digest is shown, and not the key.
pub(crate) fn begins(reserve: &ReserveRequest) {
    let span = Span::current();
    if span.is_disabled() {
        return;
    }
    span.record("idempotency.key", field::display(&reserve.key));
    if let Some(label) = &reserve.label {
        span.record("idempotency.namespace", &*label.namespace);
        span.record("http.route", label.path());
    }
}

/// An attempt runs.
pub(super) fn runs(lease: &Lease) {
    telemetry::attempt(lease.label.as_ref(), lease.previous);
    Span::current().record("idempotency.attempt", lease.attempt);
}

/// The operation of an attempt has ended.
pub(super) fn ran(lease: &Lease) {
    telemetry::handler_took(lease.label.as_ref(), Began::at(lease.since));
}

/// A guarded request ended, in a word. It has no key if it was rejected before its key was
/// looked up.
pub(crate) fn ended(reserve: Option<&ReserveRequest>, outcome: &'static str) {
    let label = reserve.and_then(|reserve| reserve.label.as_ref());
    telemetry::request(label, outcome);
    let span = Span::current();
    if !span.is_disabled() {
        span.record(OUTCOME, outcome);
        if !matches!(outcome, "executed" | "abandoned" | "replayed" | "unguarded" | "nested") {
            span.record("error.type", outcome);
        }
    }
    let key = reserve.map(|reserve| field::display(&reserve.key));
    tracing::debug!(key, outcome, "guarded request ended");
}

impl Observer {
    /// A key was reserved.
    pub(super) fn reserved(&self, lease: &Lease) {
        self.events.tell(|| {
            let Lease { previous, replaces, attempt, .. } = *lease;
            let is_in_doubt = attempt > 1;
            (About::lease(lease), EventKind::Reserved { previous, replaces, is_in_doubt })
        });
    }

    pub(super) fn renewed(&self, lease: &Lease) {
        self.of_lease(lease, || EventKind::Renewed);
    }

    /// A lease was lost while its attempt ran.
    pub(super) fn lease_lost(&self, lease: &Lease, loss: LeaseLoss) {
        let cause = match loss {
            LeaseLoss::Taken => "taken",
            LeaseLoss::Lapsed => "lapsed",
        };
        telemetry::lease_lost(lease.label.as_ref(), cause);
        self.of_lease(lease, || EventKind::LeaseLost(loss));
    }

    /// The end of an attempt is in its record.
    pub(super) fn stored(&self, lease: &Lease, end: impl FnOnce() -> EventKind) {
        self.of_lease(lease, end);
    }

    /// The end of an attempt is not in its record, and is written again.
    pub(super) fn write_retried(&self, lease: &Lease, kind: StoreErrorKind) {
        self.of_lease(lease, || EventKind::WriteRetried(kind));
    }

    /// The end of an attempt is not in its record.
    pub(super) fn not_stored(&self, lease: &Lease, reason: NotStored) {
        self.of_lease(lease, || EventKind::NotStored(reason));
    }

    /// A request gets a stored response.
    pub(super) fn replayed(
        &self,
        config: &Config,
        reserve: &ReserveRequest,
        outcome: &mut Outcome,
        (attempt, token): Origin,
    ) {
        let original = config.traces.as_ref().and_then(|traces| {
            let original = outcome.take_trace()?;
            Span::current().record("idempotency.original.traceparent", field::display(&original));
            traces.link(original);
            Some(original)
        });
        self.events.tell(|| {
            let about = About { attempt: Some((attempt, token)), ..About::request(reserve) };
            (about, EventKind::Replayed { original })
        });
    }

    /// An operation runs without a record.
    pub(super) fn unguarded(&self, reserve: &ReserveRequest) {
        self.events.tell(|| (About::request(reserve), EventKind::Unguarded));
    }

    /// A request with a key was rejected.
    pub(crate) fn rejected(&self, reserve: &ReserveRequest, code: &'static str) {
        self.events.tell(|| (About::request(reserve), EventKind::Rejected { code }));
    }

    /// An operator changed a record.
    pub(crate) fn changed(&self, seen: &RecordInfo, becomes: &Becomes, entry: &AuditEntry) {
        self.events.tell(|| {
            let about = About {
                key: seen.key,
                scope: seen.scope,
                label: seen.label.as_ref(),
                attempt: Some((seen.attempt, seen.token)),
            };
            let kind = EventKind::Changed {
                action: entry.action,
                by: entry.by.as_str().into(),
                reason: entry.reason.as_str().into(),
                token: becomes.ended().map(|_| entry.id),
            };
            (about, kind)
        });
    }

    fn of_lease(&self, lease: &Lease, kind: impl FnOnce() -> EventKind) {
        self.events.tell(|| (About::lease(lease), kind()));
    }

    /// A request waits, until the result is dropped.
    pub(super) fn waits<'a>(&'a self, reserve: &ReserveRequest) -> Waiting<'a> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let (label, began) = (reserve.label.clone(), telemetry::begins());
        Waiting { observer: self, label, began }
    }
}

/// A request that waits.
pub(super) struct Waiting<'a> {
    observer: &'a Observer,
    label: Option<Arc<RecordLabel>>,
    began: Began,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.observer.waiting.fetch_sub(1, Ordering::Relaxed);
        telemetry::waited(self.label.as_ref(), self.began);
    }
}
