//! The span of a guarded request, and its link from a replay to the first execution, as
//! OpenTelemetry exports them.

use axum::Router;
use axum::body::Body;
use axum::routing::post as to_post;
use http::{Request, StatusCode};
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider,
};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tower::ServiceExt;
use tower_idempotency::operate::TraceContext;
use tower_idempotency::{OnFailed, Scope, StoredResponse};
use tracing::{Instrument, Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::layer::SubscriberExt;

use crate::support::{TestLayer, layer};

/// Collects the spans of this thread while the guard lives.
fn exporter() -> (InMemorySpanExporter, SdkTracerProvider, tracing::subscriber::DefaultGuard) {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let traces = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(traces));
    tracing::callsite::rebuild_interest_cache();
    (exporter, provider, guard)
}

/// As the documentation of `link_traces` shows it.
fn linked(layer: TestLayer) -> TestLayer {
    layer.link_traces(
        || {
            let span = Span::current().context().span().span_context().clone();
            let (trace, id) = (span.trace_id().to_bytes(), span.span_id().to_bytes());
            TraceContext::new(trace, id, span.trace_flags().to_u8())
        },
        |original| {
            Span::current().add_link(SpanContext::new(
                TraceId::from_bytes(original.trace_id),
                SpanId::from_bytes(original.span_id),
                TraceFlags::new(original.flags),
                true,
                TraceState::default(),
            ));
        },
    )
}

fn guarded(layer: TestLayer) -> Router {
    let fails = async || (StatusCode::BAD_GATEWAY, "failed");
    Router::new()
        .route("/payments/{id}", to_post(async |body: String| format!("paid: {body}")))
        .route("/fails", to_post(fails))
        .route_layer(layer.scope(|_| Scope::new("acct_1")))
}

/// Sends a request in a trace of its own.
async fn send(router: &Router, path: &str, key: &str, body: &'static str) {
    let request =
        Request::post(path).header("idempotency-key", key).body(Body::from(body)).unwrap();
    let sent = router.clone().oneshot(request).instrument(info_span!(parent: None, "request"));
    let response = sent.await.unwrap();
    assert!(!response.headers().contains_key("x-idempotent-traceparent"));
}

/// The spans of the layer, in order.
fn spans(exporter: &InMemorySpanExporter) -> Vec<SpanData> {
    let spans = exporter.get_finished_spans().unwrap();
    spans.into_iter().filter(|span| span.name == "idempotency").collect()
}

fn attribute(span: &SpanData, name: &str) -> Option<String> {
    let found = span.attributes.iter().find(|attribute| attribute.key.as_str() == name);
    found.map(|attribute| attribute.value.to_string())
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn a_guarded_request_has_one_span_with_its_outcome() {
    let (exporter, _provider, _guard) = exporter();
    let layer = layer().namespace("payments").label_records();
    let router = guarded(layer);
    send(&router, "/payments/7?token=secret", "order-1001", "a").await;
    send(&router, "/payments/7?token=secret", "order-1001", "a").await;
    send(&router, "/payments/7?token=secret", "order-1001", "b").await;
    let spans = spans(&exporter);
    let values = |name: &str| spans.iter().map(|span| attribute(span, name)).collect::<Vec<_>>();
    let all = |value: &str| vec![Some(value.to_owned()); 3];
    assert_eq!(values("http.route"), all("/payments/{id}"));
    assert_eq!(values("http.request.method"), all("POST"));
    assert_eq!(values("idempotency.namespace"), all("payments"));
    let outcomes = ["executed", "replayed", "idempotency_key_reused"];
    assert_eq!(values("idempotency.outcome"), outcomes.map(|outcome| Some(outcome.to_owned())));
    assert_eq!(values("idempotency.attempt"), [Some("1".to_owned()), None, None]);
    let error = Some("idempotency_key_reused".to_owned());
    assert_eq!(values("error.type"), [None, None, error]);
    let keys = values("idempotency.key");
    assert!(keys.iter().flatten().all(|key| key.len() == 8), "{keys:?}");
    // Neither the key nor the body nor the query is anywhere.
    for secret in ["order-1001", "paid", "secret", "acct_1"] {
        assert!(!format!("{spans:?}").contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn a_replay_links_to_the_trace_of_the_first_execution() {
    let stored = [StoredResponse::Full, StoredResponse::Status];
    for layer in stored.map(|stored| layer().stored_response(stored)) {
        let (exporter, _provider, _guard) = exporter();
        let router = guarded(linked(layer));
        for _ in 0..3 {
            send(&router, "/payments/7", "order-1001", "a").await;
        }
        let [first, replays @ ..] = &spans(&exporter)[..] else { panic!("three spans") };
        assert!(first.links.links.is_empty());
        for replay in replays {
            let [link] = &replay.links.links[..] else { panic!("one link") };
            assert_eq!(link.span_context.trace_id(), first.span_context.trace_id());
            assert_eq!(link.span_context.span_id(), first.span_context.span_id());
            assert_ne!(replay.span_context.trace_id(), first.span_context.trace_id());
            let original = attribute(replay, "idempotency.original.traceparent").unwrap();
            assert!(original.contains(&first.span_context.trace_id().to_string()), "{original}");
        }
        assert_eq!(replays.len(), 2);
    }
}

#[tokio::test]
async fn the_replay_of_a_failure_links_to_it_too() {
    let (exporter, _provider, _guard) = exporter();
    let router = guarded(linked(layer().on_failed(OnFailed::Replay)));
    send(&router, "/fails", "order-1001", "a").await;
    send(&router, "/fails", "order-1001", "a").await;
    let [first, replay] = &spans(&exporter)[..] else { panic!("two spans") };
    assert_eq!(attribute(replay, "idempotency.outcome").unwrap(), "replayed");
    assert_eq!(replay.links.links[0].span_context.span_id(), first.span_context.span_id());
}

#[tokio::test]
async fn a_span_of_the_caller_that_declares_the_fields_is_used() {
    let (exporter, _provider, _guard) = exporter();
    let router = guarded(linked(layer()));
    let request = || {
        let request = Request::post("/payments/7").header("idempotency-key", "order-1001");
        request.body(Body::from("a")).unwrap()
    };
    for _ in 0..2 {
        let own = info_span!("own", idempotency.outcome = tracing::field::Empty);
        router.clone().oneshot(request()).instrument(own).await.unwrap();
    }
    let finished = exporter.get_finished_spans().unwrap();
    let outcomes: Vec<_> =
        finished.iter().filter_map(|span| attribute(span, "idempotency.outcome")).collect();
    assert_eq!(outcomes, ["executed", "replayed"]);
    assert!(finished.iter().all(|span| span.name == "own"), "{finished:?}");
    assert_eq!(finished[1].links.links.len(), 1);
}

#[tokio::test]
async fn a_layer_that_links_no_traces_gives_a_client_no_trace_of_another_one() {
    let (_exporter, _provider, _guard) = exporter();
    let plain = layer();
    // The clone stores a trace.
    let one = guarded(linked(plain.clone()));
    let other = guarded(plain);
    send(&one, "/payments/7", "order-1001", "a").await;
    send(&other, "/payments/7", "order-1001", "a").await;
}
