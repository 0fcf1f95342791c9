//! `GET /openapi.json`: the routes, as OpenAPI describes them, with what the layer adds.

use axum::http::{Method, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tower_idempotency::IdempotencyLayer;
use tower_idempotency::store::Store;

use crate::problem::Problem;
use crate::{page, payments};

/// The route of the document. The routes of the sandbox are described by hand in a file, and what the
/// layer adds to them comes from the layer.
pub(crate) fn routes<S, St>(guard: &IdempotencyLayer<St>) -> Result<Router<S>, Problem>
where
    S: Clone + Send + Sync + 'static,
    St: Store,
{
    let mut document: Value = serde_json::from_str(include_str!("openapi/document.json"))
        .map_err(|error| Problem::failed("document.json", &error))?;
    for (path, content_type) in page::files() {
        document["paths"][path] = json!({ "get": { "responses": { "200": file(content_type) } } });
    }
    let added = guard.openapi();
    for path in payments::GUARDED {
        added
            .apply_to(&mut document, path, &Method::POST)
            .map_err(|error| Problem::failed("document.json", &error))?;
    }
    Ok(Router::new().route("/openapi.json", get(move || async move { response(document) })))
}

fn response(document: Value) -> Response {
    // The next sandbox on this address may have other settings.
    ([(header::CACHE_CONTROL, "no-store")], Json(document)).into_response()
}

fn file(content_type: &str) -> Value {
    let text = json!({ "schema": { "type": "string" } });
    let media_type = content_type.split(';').next().unwrap_or_default();
    let headers = page::headers().map(|name| (name.to_string(), text.clone()));
    json!({
        "description": "A file of the page.",
        "headers": headers.collect::<serde_json::Map<_, _>>(),
        "content": { media_type: text },
    })
}
