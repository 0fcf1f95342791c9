//! The router: which layer is where.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::time::timeout;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;
use tower_http::request_id::{
    MakeRequestUuid, PropagateRequestIdLayer, RequestId, SetRequestIdLayer,
};
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::{DefaultOnResponse, TraceLayer};
use tower_idempotency::store::{DynStore, Store, StoreError};
use tower_idempotency::{EXPOSE_HEADERS, IdempotencyLayer};
use tracing::{Level, Span, field::Empty};

use crate::auth::{Tokens, authenticate};

/// What the router consists of. Payments come before orders.
pub(crate) struct App {
    pub(crate) payments: Router,
    pub(crate) orders: Router,
    pub(crate) guards: [IdempotencyLayer<DynStore>; 2],
    pub(crate) stores: [DynStore; 2],
    pub(crate) handler_timeout: Duration,
    pub(crate) tokens: Tokens,
    pub(crate) origin: HeaderValue,
    pub(crate) metrics: PrometheusHandle,
}

pub(crate) fn router(app: App) -> Router {
    let bound = TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, app.handler_timeout);
    let [payments, orders] = app.guards;
    // The layer that is added last is the outermost: authentication, idempotency, timeout, handler.
    let v1 = Router::new()
        .nest("/payments", app.payments.route_layer(bound).route_layer(payments))
        .nest("/orders", app.orders.route_layer(bound).route_layer(orders))
        .route_layer(from_fn_with_state(app.tokens, authenticate));
    // In a `ServiceBuilder` the first layer is the outermost.
    let outside = ServiceBuilder::new()
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(make_span)
                .on_response(DefaultOnResponse::new().level(Level::INFO)),
        )
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(cors(app.origin))
        .layer(CompressionLayer::new())
        .layer(CatchPanicLayer::new());
    Router::new()
        .nest("/v1", v1)
        .layer(outside)
        // For the orchestrator. The ingress forwards `/v1` only.
        .route("/healthz", get(move || health(app.stores)))
        .route("/metrics", get(async move || app.metrics.render()))
}

/// The idempotency layer sets the fields that are empty here.
fn make_span(request: &Request<Body>) -> Span {
    let id = request.extensions().get().map(RequestId::header_value);
    tracing::info_span!(
        "request",
        method = %request.method(),
        path = request.uri().path(),
        id = id.and_then(|id| id.to_str().ok()),
        idempotency.key = Empty,
        idempotency.attempt = Empty,
        idempotency.outcome = Empty,
    )
}

fn cors(origin: HeaderValue) -> CorsLayer {
    let key = HeaderName::from_static("x-idempotency-key");
    CorsLayer::new()
        .allow_origin(origin)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, key])
        .expose_headers(EXPOSE_HEADERS)
}

async fn health(stores: [DynStore; 2]) -> (StatusCode, String) {
    let pings = async {
        for store in stores {
            store.ping().await?;
        }
        Ok::<_, StoreError>(())
    };
    match timeout(Duration::from_secs(1), pings).await {
        Ok(Ok(())) => (StatusCode::OK, "ok\n".into()),
        Ok(Err(error)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "a store does not reply\n".into()),
    }
}
