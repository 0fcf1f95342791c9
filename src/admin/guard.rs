//! Checks each request before a route sees it, and adds the headers that every response has.

use std::sync::Arc;

use axum::extract::{Request, State as FromState};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::page;
use super::problem::Problem;
use super::site::Site;
use super::state::{OperatorName, State};
use crate::http::headers::has_media_type;
use crate::store::Store;

/// What every response has, besides the policy of the page. There is no CORS header among them.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

pub(super) async fn guard<St: Store>(
    FromState(state): FromState<Arc<State<St>>>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let mut response = match operator_of(&state, &parts) {
        Ok(name) => {
            parts.extensions.insert(name);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(problem) => problem.into_response(),
    };
    add_headers(response.headers_mut());
    response
}

/// The operator of a request that may pass.
fn operator_of<St: Store>(state: &State<St>, parts: &Parts) -> Result<OperatorName, Problem> {
    let host = state.site.host(parts).ok_or(Problem::HostNotAllowed)?;
    let is_write = !parts.method.is_safe();
    let may_pass = if is_write {
        state.site.may_write(&parts.headers, &host)
    } else {
        Site::may_read(&parts.headers)
    };
    if !may_pass {
        return Err(Problem::CrossSite);
    }
    // A form of another site cannot send this type, and its script would have to ask by CORS.
    if is_write && !has_media_type(&parts.headers, "application/json") {
        return Err(Problem::NotJson);
    }
    let unknown = || Problem::UnknownOperator { challenge: state.challenge.clone() };
    let name = (state.who)(parts).map(OperatorName).ok_or_else(unknown)?;
    // Its name must be one that the store can write.
    state.operator(&name)?;
    Ok(name)
}

fn add_headers(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, page::policy());
}
