//! Handlers that count their runs, and take a while.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

/// How long an operation takes.
pub(crate) const TAKES: Duration = Duration::from_millis(400);

static RUNS: AtomicU64 = AtomicU64::new(0);

/// Runs the operation. The response names the run and the process.
async fn run() -> Response {
    let run = RUNS.fetch_add(1, SeqCst);
    tokio::time::sleep(TAKES).await;
    (StatusCode::CREATED, format!("run {run} of process {}", std::process::id())).into_response()
}

/// `/runs` responds with the number of runs.
pub(crate) fn handlers() -> Router {
    Router::new()
        .route("/payments", post(run))
        .route("/others", post(run))
        .route("/runs", get(async || RUNS.load(SeqCst).to_string()))
}
