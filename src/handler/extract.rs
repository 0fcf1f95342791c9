//! [`Attempt`] and `Tx` as extractors for axum handlers, and [`ResponseDirective`] as a part of
//! their responses.
//!
//! ```
//! use axum::{Router, routing::post};
//! use tower_idempotency::{Attempt, IdempotencyLayer, MemoryStore};
//!
//! // `Option`, because a request without a key passes through unguarded.
//! async fn pay(attempt: Option<Attempt>) -> String {
//!     attempt.map_or("no key".into(), |attempt| format!("attempt {}", attempt.number()))
//! }
//!
//! let app: Router = Router::new()
//!     .route("/payments", post(pay))
//!     .route_layer(IdempotencyLayer::new(MemoryStore::new()));
//! ```

use std::convert::Infallible;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::response::{IntoResponse, IntoResponseParts, Response, ResponseParts};
use http::StatusCode;
use http::request::Parts;

use super::attempt::Attempt;
use super::directive::ResponseDirective;
use crate::runtime::seldom::Seldom;

#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod transaction;

/// The response when a handler extracts an [`Attempt`] from a request without one: 500, because the
/// route is misconfigured.
///
/// Either the layer is missing, or it passes requests without a key. In the second case the handler
/// must extract `Option<Attempt>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingAttempt;

impl IntoResponse for MissingAttempt {
    fn into_response(self) -> Response {
        static LOGGED: Seldom = Seldom::new();
        if LOGGED.is_due() {
            tracing::error!(
                "a handler extracted an Attempt from a request without one, and the client got 500: \
                 add the idempotency layer to the route, or extract Option<Attempt>"
            );
        }
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}

impl IntoResponseParts for ResponseDirective {
    type Error = Infallible;

    fn into_response_parts(self, mut response: ResponseParts) -> Result<ResponseParts, Infallible> {
        response.extensions_mut().insert(self);
        Ok(response)
    }
}

impl<State: Sync> FromRequestParts<State> for Attempt {
    type Rejection = MissingAttempt;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, MissingAttempt> {
        parts.extensions.get::<Self>().cloned().ok_or(MissingAttempt)
    }
}

impl<State: Sync> OptionalFromRequestParts<State> for Attempt {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned())
    }
}
