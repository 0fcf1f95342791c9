//! The service in which the incidents happen, and its ledger of effects.

use std::fs::OpenOptions;
use std::future::pending;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tower::ServiceExt;
use tower_idempotency::store::{DynStore, StoreErrorKind};
use tower_idempotency::{IdempotencyLayer, OnAbandoned, OnFailed, Scope};

use crate::support::{Fault, Operation, Scripted, patiently};

/// Short, so that a killed process is noticed soon.
const LEASE: Duration = Duration::from_millis(500);
const PAID: &str = r#"{"paid":true}"#;

/// An operation that was cut off or has failed waits for the operators.
pub(super) fn layer(store: DynStore) -> IdempotencyLayer<DynStore> {
    IdempotencyLayer::new(store)
        .namespace("payments")
        .scope(|parts| {
            let account = parts.headers.get("x-account")?;
            Some(Scope::new(account.as_bytes()))
        })
        .lease(LEASE)
        .store_timeout(Duration::from_secs(10))
        .on_abandoned(OnAbandoned::Reject)
        .on_failed(OnFailed::Reject)
        .max_response(10_000)
        .label_records()
}

/// A caller, and the key of its one operation.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) key: String,
}

impl Account {
    pub(super) fn of(incident: usize, number: usize) -> Self {
        Self {
            name: format!("tenant-{incident}-{}", number / 5),
            key: format!("order-{incident}-{number}"),
        }
    }
}

/// The effects, one line each, of all processes.
#[derive(Clone)]
pub(super) struct Ledger(PathBuf);

impl Ledger {
    pub(super) fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    fn write(&self, key: &str) {
        let mut file = OpenOptions::new().append(true).create(true).open(&self.0).unwrap();
        file.write_all(format!("{key}\n").as_bytes()).unwrap();
    }

    pub(super) fn effects(&self, account: &Account) -> usize {
        let lines = std::fs::read_to_string(&self.0).unwrap_or_default();
        lines.lines().filter(|line| *line == account.key).count()
    }
}

/// What a client heard.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Heard {
    status: u16,
    is_replay: bool,
    body: String,
    code: Option<String>,
    original_status: Option<u64>,
}

impl Heard {
    pub(super) fn paid() -> Self {
        Self { is_replay: false, ..Self::replay(PAID) }
    }

    pub(super) fn replay(body: &str) -> Self {
        Self {
            status: 201,
            is_replay: true,
            body: body.to_owned(),
            code: None,
            original_status: None,
        }
    }

    pub(super) fn not_retained(original_status: u64) -> Self {
        Self {
            status: 409,
            is_replay: false,
            body: String::new(),
            code: Some("idempotency_result_not_retained".to_owned()),
            original_status: Some(original_status),
        }
    }

    pub(super) fn status(&self) -> u16 {
        self.status
    }

    pub(super) fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }
}

#[derive(Clone)]
pub(super) struct Service {
    pub(super) layer: IdempotencyLayer<DynStore>,
    app: Router,
}

impl Service {
    pub(super) fn new(layer: IdempotencyLayer<DynStore>, ledger: &Ledger) -> Self {
        Self::hanging(layer, ledger, &Arc::new(Semaphore::new(0)))
    }

    /// `hung` gets a permit for each operation that hangs.
    fn hanging(layer: IdempotencyLayer<DynStore>, ledger: &Ledger, hung: &Arc<Semaphore>) -> Self {
        let (ledger, hung) = (ledger.clone(), Arc::clone(hung));
        let handler = move |headers: HeaderMap| {
            let (ledger, hung) = (ledger.clone(), Arc::clone(&hung));
            async move { pay(&headers, &ledger, &hung).await }
        };
        let app = Router::new().route("/payments", post(handler)).layer(layer.clone());
        Self { layer, app }
    }

    pub(super) async fn pay(&self, account: &Account, how: &str) -> Heard {
        let request = Request::post("/payments")
            .header("x-idempotency-key", &account.key)
            .header("x-account", &account.name)
            .header("x-how", how)
            .body(Body::from("1200"))
            .unwrap();
        let response = self.app.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let marker = response.headers().get("x-idempotent-result");
        let is_replay = marker.is_some_and(|marker| marker == "true");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let code = problem["code"].as_str().map(str::to_owned);
        let body =
            if code.is_some() { String::new() } else { String::from_utf8(body.into()).unwrap() };
        Heard {
            status,
            is_replay,
            body,
            code,
            original_status: problem["original_status"].as_u64(),
        }
    }
}

async fn pay(headers: &HeaderMap, ledger: &Ledger, hung: &Semaphore) -> Response {
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    let (how, key) = (header("x-how"), header("x-idempotency-key"));
    let for_ever = async || {
        hung.add_permits(1);
        pending::<Response>().await
    };
    if how == "before" {
        return for_ever().await;
    }
    ledger.write(&key);
    match &*how {
        "after" => for_ever().await,
        "timeout" => StatusCode::GATEWAY_TIMEOUT.into_response(),
        "large" => (StatusCode::CREATED, "x".repeat(20_000)).into_response(),
        _ => {
            let json = [(header::CONTENT_TYPE, "application/json")];
            (StatusCode::CREATED, json, PAID).into_response()
        }
    }
}

/// Runs all operations up to the moment at which the process is killed, and waits for that.
pub(super) async fn hang(
    store: DynStore,
    ledger: Ledger,
    accounts: impl Iterator<Item = Account>,
    when: &str,
) {
    let hung = Arc::new(Semaphore::new(0));
    let is_unstored = when == "unstored";
    let store = if is_unstored {
        let scripted = Scripted::over(store);
        scripted.fault(Operation::Complete, Fault::Error(StoreErrorKind::Unavailable));
        DynStore::new(scripted)
    } else {
        store
    };
    let service = Service::hanging(layer(store), &ledger, &hung);
    let (mut running, mut number) = (JoinSet::new(), 0);
    for account in accounts {
        let (service, how) = (service.clone(), if is_unstored { "pay" } else { when }.to_owned());
        number += 1;
        running.spawn(async move { service.pay(&account, &how).await });
    }
    if is_unstored {
        // Each client has its response, and the store has none of them.
        for heard in running.join_all().await {
            assert_eq!(heard, Heard::paid());
        }
    } else {
        let _all = patiently(hung.acquire_many(number)).await.unwrap();
    }
    println!("\nall operations are there");
    pending::<()>().await;
}
