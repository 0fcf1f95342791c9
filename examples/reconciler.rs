//! A reconciler: asks the payment provider about each operation in doubt, and settles it.
//!
//! ```text
//! cargo run --example reconciler
//! ```
//!
//! The provider of this example loses two of three responses, one of them after the charge. The
//! service responds with 504, and neither it nor the client knows whether there was a charge.
//!
//! The provider knows. It has a key for each operation, [`Attempt::downstream_key`], and
//! [`Operator::downstream_key`] computes the same key from the record.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json, Router, routing::post};
use serde_json::{Value, json};
use tower::ServiceExt;
use tower_idempotency::operate::{Operator, Settle};
use tower_idempotency::store::operator::{ListFilter, ListRequest, StateFilter};
use tower_idempotency::store::{Outcome, Store, StoredBody};
use tower_idempotency::{Attempt, IdempotencyLayer, MemoryStore, OnFailed, Scope};

/// The provider, which charges once for each of its keys.
#[derive(Clone, Default)]
struct Provider(Arc<Mutex<HashMap<String, u64>>>);

impl Provider {
    /// Charges, unless the key is known. `None`: the response is lost.
    fn charge(&self, key: &str, amount: u64) -> Option<u64> {
        match amount {
            1 => None,
            2 => {
                self.charges().insert(key.to_owned(), amount);
                None
            }
            amount => Some(*self.charges().entry(key.to_owned()).or_insert(amount)),
        }
    }

    fn charged(&self, key: &str) -> Option<u64> {
        self.charges().get(key).copied()
    }

    fn charges(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn pay(
    State(provider): State<Provider>,
    Extension(attempt): Extension<Attempt>,
    Json(payment): Json<Value>,
) -> Response {
    let amount = payment["amount"].as_u64().unwrap_or_default();
    match provider.charge(&attempt.downstream_key("charge"), amount) {
        Some(amount) => (StatusCode::CREATED, Json(json!({ "charged": amount }))).into_response(),
        None => StatusCode::GATEWAY_TIMEOUT.into_response(),
    }
}

/// Settles everything that has been in doubt for a while. A service would run it every minute.
async fn reconcile<St: Store>(
    operator: &Operator<St>,
    provider: &Provider,
    age: Duration,
) -> Result<(), Box<dyn Error>> {
    let in_doubt = ListFilter::new().state(StateFilter::InDoubt).older_than(age);
    let mut request = ListRequest::new(in_doubt);
    loop {
        let page = operator.list(&request).await?;
        for record in page.records {
            let charge = operator.downstream_key(&record.key, "charge");
            let settled = match provider.charged(&charge) {
                Some(amount) => {
                    // What the handler would have responded.
                    let settle = Settle::Respond(created(&json!({ "charged": amount })));
                    operator.settle(&record, settle, "charged at the provider").await?
                }
                None => operator.release(&record, "not charged at the provider").await?,
            };
            println!("{} {}: {settled}", record.key, record.state.word());
        }
        match page.next {
            Some(next) => request = request.after(next),
            None => return Ok(()),
        }
    }
}

fn created(body: &Value) -> Outcome {
    let bytes = body.to_string().into();
    let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    Outcome::new(StatusCode::CREATED, StoredBody::Whole { bytes, trailers: None })
        .headers(json.into_iter().collect())
}

async fn send(app: &Router, key: &str, amount: u64) -> Result<(), Box<dyn Error>> {
    let request = Request::post("/payments")
        .header("X-Idempotency-Key", key)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(json!({ "amount": amount }).to_string()))?;
    let response = app.clone().oneshot(request).await?;
    let status = response.status();
    let body = to_bytes(response.into_body(), 1 << 20).await?;
    let body = String::from_utf8_lossy(&body);
    let code = serde_json::from_str::<Value>(&body).ok();
    let code = code.and_then(|problem| problem["code"].as_str().map(str::to_owned));
    println!("{key}: {status} {}", code.as_deref().unwrap_or(&body));
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let provider = Provider::default();
    let layer = IdempotencyLayer::new(MemoryStore::new())
        .namespace("payments")
        .scope(|_| Scope::new("the account"))
        // A payment in doubt waits for the reconciler.
        .on_failed(OnFailed::Reject)
        .label_records();
    let app = Router::new()
        .route("/payments", post(pay))
        .route_layer(layer.clone())
        .with_state(provider.clone());

    let payments = [("lost-before", 1), ("lost-after", 2), ("paid", 3)];
    for (key, amount) in payments {
        send(&app, key, amount).await?;
    }
    println!("-- the reconciler runs");
    reconcile(&layer.operator("reconciler")?, &provider, Duration::ZERO).await?;
    println!("-- the clients try again");
    for (key, amount) in payments {
        send(&app, key, amount).await?;
    }
    Ok(())
}
