//! The second listener: health, metrics, and the routes for operators.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use metrics_exporter_prometheus::PrometheusHandle;
use tower::ServiceExt;
use tower_idempotency::admin::Admin;

use crate::gateway::Gateway;
use crate::proxy::chain;

mod who;

pub(crate) use who::Who;

const PATH: &str = "/idempotency";

/// What the second listener shows.
#[derive(Clone)]
pub(crate) struct Shown {
    pub(crate) gateway: Gateway,
    pub(crate) metrics: PrometheusHandle,
    pub(crate) who: Arc<Who>,
    /// Other names of the host, under which the page is reached.
    pub(crate) hosts: Arc<[String]>,
    /// Whether the process has been told to end.
    pub(crate) drains: Arc<AtomicBool>,
}

/// The routes of the second listener.
pub(crate) fn router(shown: Shown) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "the process runs\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route(PATH, any(operators))
        .route("/idempotency/{*rest}", any(operators))
        .with_state(shown)
}

/// Whether guarded requests can be served: 200, or 503 with the reason.
async fn ready(State(shown): State<Shown>) -> (StatusCode, String) {
    if shown.drains.load(Ordering::Relaxed) {
        return (StatusCode::SERVICE_UNAVAILABLE, "the process ends\n".to_owned());
    }
    for layer in &shown.gateway.plan().stores {
        if let Err(error) = layer.ping().await {
            let why = format!("a store does not reply: {}\n", chain(&error));
            return (StatusCode::SERVICE_UNAVAILABLE, why);
        }
    }
    (StatusCode::OK, "ready\n".to_owned())
}

async fn metrics(State(shown): State<Shown>) -> Response {
    let text = HeaderValue::from_static("text/plain; version=0.0.4");
    ([(header::CONTENT_TYPE, text)], shown.metrics.render()).into_response()
}

/// The routes for operators, over the layers of the plan as it is now. Those of one namespace are
/// under its name. The first namespace also has routes without a name.
async fn operators(State(shown): State<Shown>, request: Request) -> Response {
    let plan = shown.gateway.plan();
    let mut router = Router::new();
    for (number, (namespace, layer)) in plan.namespaces.iter().enumerate() {
        let admin = || {
            let who = Arc::clone(&shown.who);
            let admin = Admin::new(layer, move |parts| who.is_asking(parts));
            let admin = shown.hosts.iter().fold(admin, Admin::host);
            let asks_for_password = matches!(*shown.who, Who::Passwords(_));
            let basic = HeaderValue::from_static("Basic realm=\"operators\"");
            if asks_for_password { admin.challenge(basic) } else { admin }
        };
        if number == 0 {
            router = router.nest(PATH, admin().router());
        }
        // A name with other characters has no route of its own.
        if namespace.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
            router = router.nest(&format!("{PATH}/of/{namespace}"), admin().router());
        }
    }
    router.oneshot(request).await.into_response()
}
