//! The error of all handlers, as a response; and errors as text.

use std::error::Error;
use std::iter::successors;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tower_idempotency::store::Conflict;

#[derive(Debug, thiserror::Error)]
pub(crate) enum AppError {
    #[error("{0}")]
    Invalid(&'static str),
    #[error("not enough is left")]
    SoldOut,
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

impl IntoResponse for AppError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::SoldOut => StatusCode::CONFLICT,
            Self::Database(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        // The layer then runs the handler again: see `retry_conflicts`.
        let conflict = Conflict::among_sources(&self);
        if let Self::Database(source) = &self
            && !conflict.is_conflict()
        {
            tracing::error!(%source, "the database failed");
        }
        (status, conflict, Json(json!({ "error": self.to_string() }))).into_response()
    }
}

/// The text of an error and of all its causes.
pub(crate) fn with_causes(error: &(dyn Error + 'static)) -> String {
    let causes = successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
