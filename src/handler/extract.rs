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
use std::fmt;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::response::{IntoResponse, IntoResponseParts, Response, ResponseParts};
use http::StatusCode;
use http::request::Parts;

use super::attempt::Attempt;
use super::directive::ResponseDirective;
use super::without_key::WithoutKey;
use crate::runtime::seldom::Seldom;
use crate::store::{Conflict, MaybeConflict};

#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod transaction;

/// Why a request has no [`Attempt`]. As a response it is 500, because the route is misconfigured.
///
/// The log says what to do, and in debug builds so does the body of the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MissingAttempt {
    /// The layer passes requests without a key. Extract `Option<Attempt>`, or call
    /// [`require_key`](crate::IdempotencyLayer::require_key).
    NoKey,
    /// The route has no layer, or the layer does not guard the method.
    NoLayer,
}

impl MissingAttempt {
    fn in_request(parts: &Parts) -> Self {
        let has_layer = parts.extensions.get::<WithoutKey>().is_some();
        if has_layer { Self::NoKey } else { Self::NoLayer }
    }
}

impl fmt::Display for MissingAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoKey => {
                "the request has no idempotency key: extract `Option<Attempt>`, or call \
                 `require_key` on the layer"
            }
            Self::NoLayer => {
                "no idempotency layer guards this request: add it by `route_layer`, which covers \
                 only the routes that were added before it, or add the method by \
                 `IdempotencyLayer::methods`"
            }
        })
    }
}

impl std::error::Error for MissingAttempt {}

impl IntoResponse for MissingAttempt {
    fn into_response(self) -> Response {
        static LOGGED: Seldom = Seldom::new();
        if LOGGED.is_due() {
            tracing::error!(reason = %self, "a handler got no Attempt, and the client got 500");
        }
        misconfigured(&self)
    }
}

/// 500. In debug builds the body says why.
fn misconfigured(reason: &dyn fmt::Display) -> Response {
    let text = if cfg!(debug_assertions) { reason.to_string() } else { String::new() };
    (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
}

impl IntoResponseParts for ResponseDirective {
    type Error = Infallible;

    fn into_response_parts(self, mut response: ResponseParts) -> Result<ResponseParts, Infallible> {
        response.extensions_mut().insert(self);
        Ok(response)
    }
}

/// The layer rolls the transaction of the attempt back, and the client gets 409.
impl IntoResponseParts for Conflict {
    type Error = Infallible;

    fn into_response_parts(self, mut response: ResponseParts) -> Result<ResponseParts, Infallible> {
        response.extensions_mut().insert(self);
        Ok(response)
    }
}

/// If the error is a conflict, the layer rolls the transaction of the attempt back, and the client
/// gets 409.
impl IntoResponseParts for MaybeConflict {
    type Error = Infallible;

    fn into_response_parts(self, mut response: ResponseParts) -> Result<ResponseParts, Infallible> {
        response.extensions_mut().insert(self);
        Ok(response)
    }
}

impl<State: Sync> FromRequestParts<State> for Attempt {
    type Rejection = MissingAttempt;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, MissingAttempt> {
        let found = parts.extensions.get::<Self>().cloned();
        found.ok_or_else(|| MissingAttempt::in_request(parts))
    }
}

impl<State: Sync> OptionalFromRequestParts<State> for Attempt {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned())
    }
}
