//! [`Tx`] as an extractor, and [`TxError`] as a response.

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;
use sqlx::Database;

use super::{MissingAttempt, misconfigured};
use crate::handler::attempt::Attempt;
use crate::runtime::seldom::Seldom;
use crate::store::sql::tx::Tx;
use crate::store::{Conflict, TransactionError, TxError};

/// 500, because the route is misconfigured, or because two parts of the handler use the
/// transaction. The log says which.
impl IntoResponse for TransactionError {
    fn into_response(self) -> Response {
        static LOGGED: Seldom = Seldom::new();
        // Any client can leave its key out, at any rate.
        if self != Self::NoKey || LOGGED.is_due() {
            tracing::error!(
                reason = %self,
                "a handler could not get its transaction, and the client got 500"
            );
        }
        misconfigured(&self)
    }
}

impl<State: Sync, DB: Database> FromRequestParts<State> for Tx<DB> {
    type Rejection = TransactionError;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, TransactionError> {
        match parts.extensions.get::<Attempt>() {
            Some(attempt) => attempt.transaction(),
            None => Err(match MissingAttempt::in_request(parts) {
                MissingAttempt::NoKey => TransactionError::NoKey,
                MissingAttempt::NoLayer => TransactionError::NoLayer,
            }),
        }
    }
}

impl IntoResponse for TxError {
    fn into_response(self) -> Response {
        let conflict = Conflict::among_sources(&self);
        if !conflict.is_conflict() {
            tracing::error!(error = %self, "a handler's statement failed, and the client got 500");
        }
        (StatusCode::INTERNAL_SERVER_ERROR, conflict, ()).into_response()
    }
}
