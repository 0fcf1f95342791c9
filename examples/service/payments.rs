//! Payments: an effect in another system, so a retry may be in doubt.

use axum::http::StatusCode;
use axum::{Extension, Json, Router, extract::State, routing::post};
use serde::Deserialize;
use serde_json::{Value, json};
use tower_idempotency::Attempt;

use crate::auth::Account;
use crate::error::AppError;
use crate::provider::Provider;

pub(crate) fn routes(provider: Provider) -> Router {
    Router::new().route("/", post(pay)).with_state(provider)
}

#[derive(Deserialize)]
struct Payment {
    amount: u64,
    currency: String,
}

/// Runs again only after a failure or a crash.
async fn pay(
    State(provider): State<Provider>,
    Extension(Account(account)): Extension<Account>,
    attempt: Attempt,
    Json(Payment { amount, currency }): Json<Payment>,
) -> Result<(StatusCode, Json<Value>), AppError> {
    if amount == 0 {
        return Err(AppError::Invalid("the amount is 0"));
    }
    // The same in each attempt, and another one for each account.
    let key = attempt.downstream_key("charge");
    let earlier = if attempt.is_in_doubt() { provider.find(&key).await } else { None };
    let charge = match earlier {
        Some(charge) => charge,
        None => provider.charge(&key, account, amount).await,
    };
    let attempt = attempt.number();
    let payment =
        json!({ "id": charge, "amount": amount, "currency": currency, "attempt": attempt });
    Ok((StatusCode::CREATED, Json(payment)))
}
