//! The routes, and the knobs that delay a payment, enlarge its response or make it fail.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http_body_util::{BodyExt, Full};
use serde::{Deserialize, Serialize};
use tower_idempotency::{Attempt, PreviousAttempt};

use crate::ledger::{Effect, Ledger, Terms};

pub(crate) fn routes<L: Ledger>() -> Router<Arc<L>> {
    Router::new()
        .route(PAYMENTS, post(pay::<L>).get(list::<L>))
        .route("/ledger", get(ledger::<L>))
        .route(REFUNDS, post(refund::<L>))
        .route(ECHO, post(echo))
}

/// The routes that have effects. Each has POST.
pub(crate) const GUARDED: [&str; 3] = [PAYMENTS, REFUNDS, ECHO];

const PAYMENTS: &str = "/payments";
const REFUNDS: &str = "/payments/{id}/refunds";
const ECHO: &str = "/echo";

/// The body of a payment or refund.
#[derive(Deserialize)]
struct PaymentBody {
    amount: u64,
    currency: String,
    to: String,
    /// The number of the client's order. The ledger shows it beside the payment.
    order: Option<String>,
    #[serde(default)]
    sandbox: Knobs,
}

/// The behaviour that the request asks for. An unknown knob is rejected, because a typing error
/// would make a test meaningless.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Knobs {
    delay_ms: u64,
    after_ms: u64,
    status: Option<u16>,
    panic: Option<Moment>,
    bytes: usize,
    stream: bool,
    set_cookie: bool,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Moment {
    Before,
    After,
}

const MOST_BYTES: usize = 64 << 20;

impl PaymentBody {
    fn check(&self) -> Result<StatusCode, &'static str> {
        if self.amount == 0 {
            return Err("amount is 0");
        }
        if self.currency.len() != 3 || !self.currency.bytes().all(|byte| byte.is_ascii_uppercase())
        {
            return Err("currency is not three capital letters");
        }
        if self.to.is_empty() {
            return Err("to is empty");
        }
        if self.sandbox.bytes > MOST_BYTES {
            return Err("sandbox.bytes is more than 64 MiB");
        }
        match self.sandbox.status.unwrap_or(201) {
            status @ 200..600 => {
                StatusCode::from_u16(status).map_err(|_| "sandbox.status is not a status")
            }
            _ => Err("sandbox.status is not from 200 to 599"),
        }
    }
}

async fn pay<L: Ledger>(
    State(ledger): State<Arc<L>>,
    attempt: Option<Attempt>,
    headers: HeaderMap,
    Json(posted): Json<PaymentBody>,
) -> Response {
    operate(&*ledger, attempt, &headers, posted, PAYMENTS, "pay").await
}

async fn refund<L: Ledger>(
    State(ledger): State<Arc<L>>,
    Path(payment): Path<String>,
    attempt: Option<Attempt>,
    headers: HeaderMap,
    Json(posted): Json<PaymentBody>,
) -> Response {
    operate(&*ledger, attempt, &headers, posted, &format!("/payments/{payment}/refunds"), "re")
        .await
}

async fn operate(
    ledger: &impl Ledger,
    attempt: Option<Attempt>,
    headers: &HeaderMap,
    posted: PaymentBody,
    collection: &str,
    prefix: &str,
) -> Response {
    let status = match posted.check() {
        Ok(status) => status,
        Err(error) => return rejection(StatusCode::UNPROCESSABLE_ENTITY, error),
    };
    let PaymentBody { amount, currency, to, order, sandbox: knobs } = posted;
    tokio::time::sleep(Duration::from_millis(knobs.delay_ms)).await;
    assert!(knobs.panic != Some(Moment::Before), "the request asked for a panic before the effect");

    let effect = Effect {
        key: attempt.as_ref().map(|attempt| attempt.key().as_str().into()),
        scope: bearer(headers).unwrap_or("anonymous").into(),
        attempt: attempt.as_ref().map_or(1, Attempt::number),
        id: format!("{prefix}_{}", random()),
        at: now(),
        terms: Terms { amount, currency: currency.clone(), to: to.clone(), order },
    };
    let done = status.as_u16() < 400;
    if done && let Err(response) = ledger.append(&effect, attempt.as_ref()).await {
        return response;
    }
    tokio::time::sleep(Duration::from_millis(knobs.after_ms)).await;
    assert!(knobs.panic != Some(Moment::After), "the request asked for a panic after the effect");

    let (previous, previous_status) = match attempt.and_then(|attempt| attempt.previous()) {
        None => (None, None),
        Some(PreviousAttempt::Failed { status }) => {
            (Some("failed"), status.map(|status| status.as_u16()))
        }
        Some(_) => (Some("abandoned"), None),
    };
    let receipt = Receipt {
        error: (!done).then_some("the request asked for this status"),
        id: done.then_some(&effect.id),
        amount,
        currency,
        to,
        attempt: effect.attempt,
        previous,
        previous_status,
        created_at: done.then_some(effect.at),
        padding: "x".repeat(knobs.bytes),
    };
    let mut response = (status, body(&receipt, status, knobs.stream)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if done && let Ok(location) = format!("{collection}/{}", effect.id).try_into() {
        headers.insert(header::LOCATION, location);
    }
    if knobs.set_cookie
        && let Ok(cookie) = format!("session={}; HttpOnly", random()).try_into()
    {
        headers.insert(header::SET_COOKIE, cookie);
    }
    response
}

/// The response. A response that was asked to fail has no id, because nothing was done.
#[derive(Serialize)]
struct Receipt<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a String>,
    amount: u64,
    currency: String,
    to: String,
    attempt: u32,
    previous: Option<&'a str>,
    previous_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<u64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    padding: String,
}

fn body(receipt: &Receipt, status: StatusCode, stream: bool) -> Body {
    // RFC 9110 forbids content for these statuses.
    if [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT, StatusCode::NOT_MODIFIED]
        .contains(&status)
    {
        return Body::empty();
    }
    let bytes = serde_json::to_vec(receipt).unwrap_or_default();
    if stream {
        // A body with mapped frames has no known length.
        return Body::new(Full::new(Bytes::from(bytes)).map_frame(|frame| frame));
    }
    Body::from(bytes)
}

async fn echo(headers: HeaderMap, body: Bytes) -> Response {
    let mut response = Body::from(body).into_response();
    if let Some(content_type) = headers.get(header::CONTENT_TYPE) {
        response.headers_mut().insert(header::CONTENT_TYPE, content_type.clone());
    }
    response
}

#[derive(Serialize)]
struct List {
    count: usize,
    payments: Vec<Effect>,
}

async fn list<L: Ledger>(State(ledger): State<Arc<L>>) -> Response {
    match ledger.effects().await {
        Ok(payments) => Json(List { count: payments.len(), payments }).into_response(),
        Err(response) => response,
    }
}

/// An effect with its terms, as the page shows it.
#[derive(Serialize)]
struct Entry<'a> {
    #[serde(flatten)]
    effect: &'a Effect,
    #[serde(flatten)]
    terms: &'a Terms,
}

async fn ledger<L: Ledger>(State(ledger): State<Arc<L>>) -> Response {
    match ledger.effects().await {
        Ok(effects) => {
            let entries = effects.iter().map(|effect| Entry { effect, terms: &effect.terms });
            Json(entries.collect::<Vec<_>>()).into_response()
        }
        Err(response) => response,
    }
}

pub(crate) fn rejection(status: StatusCode, error: &str) -> Response {
    (status, Json(serde_json::json!({ "error": error }))).into_response()
}

/// The token of `Authorization: Bearer …`. It is not verified, because the sandbox has no users.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// 16 random hexadecimal digits, unique among the processes that share the ledger.
fn random() -> String {
    format!("{:016x}", RandomState::new().hash_one(()))
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
