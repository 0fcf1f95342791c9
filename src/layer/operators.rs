//! Settings for the people who operate the service.

use std::future::Future;
use std::sync::Arc;

use http::request::Parts;

use super::IdempotencyLayer;
use crate::flow::events::Notice;
use crate::record::trace::TraceContext;
use crate::settings::Traces;
use crate::settings::labels::Labels;
use crate::store::Store;

impl<St: Store> IdempotencyLayer<St> {
    /// Stores with each record what operators look for: the namespace, the route, the digest of the
    /// scope, and when the key was reserved. Default: off.
    ///
    /// The route is the method and, with the feature `axum`, the matched path, for example `POST
    /// /payments/{id}`. [`label_records_with`](Self::label_records_with) sets another one. With a
    /// [`secret`](Self::secret) the digest of the scope is keyed.
    ///
    /// Without it, [`Operator`](crate::operate::Operator) still finds and settles records, but not
    /// by route, scope or namespace. On Redis it then does not know how old a settled record is.
    ///
    /// It costs some 50 to 100 bytes for each record.
    #[must_use]
    pub fn label_records(self) -> Self {
        self.set(|config| config.labels = Some(Labels::of_routes()))
    }

    /// Does the same as [`label_records`](Self::label_records), with the path as `template` says.
    /// `None`: the method alone.
    ///
    /// Return a template and not the path. A layer has at most 1,000 different routes; all others
    /// are called `other`.
    ///
    /// ```
    /// use tower_idempotency::{IdempotencyLayer, MemoryStore};
    ///
    /// let layer = IdempotencyLayer::new(MemoryStore::new())
    ///     .label_records_with(|parts| parts.uri.path().starts_with("/v1/").then(|| "/v1/*".to_owned()));
    /// ```
    #[must_use]
    pub fn label_records_with(
        self,
        template: impl Fn(&Parts) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.set(|config| config.labels = Some(Labels::new(Arc::new(template))))
    }

    /// Tells `subscriber` what happens to each record, for example for an audit log. Default: no
    /// subscriber.
    ///
    /// It covers all clones of this layer, because they share the records, and changes by its
    /// [`Operator`](crate::operate::Operator). Each call adds a subscriber. Other processes tell
    /// their own.
    ///
    /// The subscriber is told one [`Notice`] after the other, by a task of its own. It never delays
    /// a request. Up to 16,384 events wait for it. Above that events are lost, and a notice in their
    /// place says how many. It must not block its thread: for that, send the event to a thread.
    ///
    /// [`shutdown`](Self::shutdown) waits until the subscriber has been told everything.
    ///
    /// The order is the one in which this process learned of the changes. If two attempts overlap,
    /// their tokens say which one has the record. The guide
    /// [`operations`](crate::guide::operations#events) lists the events.
    ///
    /// ```
    /// use tower_idempotency::operate::Notice;
    /// use tower_idempotency::{IdempotencyLayer, MemoryStore};
    ///
    /// let layer = IdempotencyLayer::new(MemoryStore::new()).on_event(|notice| async move {
    ///     match notice {
    ///         Notice::Event(event) => println!("{event}"),
    ///         Notice::Lost(events) => println!("{events} events were lost"),
    ///         _ => {}
    ///     }
    /// });
    /// ```
    #[must_use]
    pub fn on_event<F, T>(self, subscriber: F) -> Self
    where
        F: FnMut(Notice) -> T + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        self.shared.observer.events.subscribe(subscriber);
        self
    }

    /// Links the span of a replay to the span in which its response was made. Default: not linked.
    ///
    /// `current` returns the current span. The layer calls it when the handler has ended, and stores
    /// the result with the response. `link` gets it back in the span of a replay, which also gets
    /// the field `idempotency.original.traceparent`. No client gets it.
    ///
    /// It costs some 80 bytes for each record. The response is stored with a header line of that
    /// content, so set it on all processes of a service, or on none.
    ///
    /// With OpenTelemetry, of which this crate needs nothing:
    ///
    /// ```
    /// use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId};
    /// use tower_idempotency::operate::TraceContext;
    /// use tower_idempotency::{IdempotencyLayer, MemoryStore};
    /// use tracing::Span;
    /// use tracing_opentelemetry::OpenTelemetrySpanExt;
    ///
    /// let layer = IdempotencyLayer::new(MemoryStore::new()).link_traces(
    ///     || {
    ///         let span = Span::current().context().span().span_context().clone();
    ///         let (trace, span_id) = (span.trace_id().to_bytes(), span.span_id().to_bytes());
    ///         TraceContext::new(trace, span_id, span.trace_flags().to_u8())
    ///     },
    ///     |original| {
    ///         let (trace, span) = (original.trace_id, original.span_id);
    ///         Span::current().add_link(SpanContext::new(
    ///             TraceId::from_bytes(trace),
    ///             SpanId::from_bytes(span),
    ///             TraceFlags::new(original.flags),
    ///             true,
    ///             Default::default(),
    ///         ));
    ///     },
    /// );
    /// ```
    #[must_use]
    pub fn link_traces(
        self,
        current: impl Fn() -> Option<TraceContext> + Send + Sync + 'static,
        link: impl Fn(TraceContext) + Send + Sync + 'static,
    ) -> Self {
        self.set(|config| config.traces = Some(Traces::new(current, link)))
    }
}
