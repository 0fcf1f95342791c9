//! Requests to a router whose handler takes the length of its response from the body.

use axum::Router;
use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::patiently;

/// The status of a response, and the code of its problem document.
pub(crate) async fn pay(app: &Router, key: &str, bytes: usize) -> (u16, String) {
    let request =
        Request::post("/").header("idempotency-key", key).body(Body::from(bytes.to_string()));
    let response = patiently(app.clone().oneshot(request.unwrap())).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let problem: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
    let code = problem.and_then(|problem| problem["code"].as_str().map(str::to_owned));
    (status, code.unwrap_or_default())
}

pub(crate) fn unavailable() -> (u16, String) {
    (503, "idempotency_store_unavailable".to_owned())
}
