//! An upstream that knows nothing of idempotency: each `POST` has an effect, a line in a file.
//!
//! `ledger LISTEN FILE`. A body of `{"delay_ms": 20, "after_ms": 5}` waits before and after the
//! effect. The line contains the headers that the gateway sends about the attempt.

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;

#[derive(Deserialize)]
struct Order {
    #[serde(default)]
    delay_ms: u64,
    #[serde(default)]
    after_ms: u64,
}

struct Ledger {
    file: File,
    count: AtomicU64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [listen, path] = &arguments[..] else { return Err("usage: ledger LISTEN FILE".into()) };
    // Each line is one write, so that two processes do not mix their lines.
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let ledger = Arc::new(Ledger { file, count: AtomicU64::new(0) });
    let app = Router::new().route("/payments", post(pay)).with_state(ledger);
    let listener = TcpListener::bind(listen).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

async fn pay(
    State(ledger): State<Arc<Ledger>>,
    headers: HeaderMap,
    Json(order): Json<Order>,
) -> impl IntoResponse {
    let told = |name: &str| {
        headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    tokio::time::sleep(Duration::from_millis(order.delay_ms)).await;
    let number = ledger.count.fetch_add(1, Ordering::Relaxed);
    let id = format!("pay_{}_{number}", std::process::id());
    let line = json!({
        "key": told("x-idempotency-key"),
        "id": id,
        "attempt": told("x-idempotency-attempt"),
        "in_doubt": told("x-idempotency-in-doubt"),
    });
    if (&ledger.file).write_all(format!("{line}\n").as_bytes()).is_err() {
        return (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({ "error": "no ledger" })));
    }
    tokio::time::sleep(Duration::from_millis(order.after_ms)).await;
    (StatusCode::CREATED, Json(json!({ "id": id })))
}
