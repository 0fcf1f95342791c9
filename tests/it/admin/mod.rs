//! The routes for operators.

mod changes;
mod guard;
mod page;
mod records;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use tower_idempotency::admin::Admin;
use tower_idempotency::store::{
    Lease, NotRetained, Outcome, RecordLabel, Reservation, ReserveRequest, StorageKey, Store,
    StoredBody,
};
use tower_idempotency::{Fingerprint, IdempotencyKey, IdempotencyLayer, MemoryStore, Scope};

use crate::support::patiently;

const LONG: Duration = Duration::from_hours(1);
/// Lapses at once.
const SHORT: Duration = Duration::from_millis(1);
const HOST: &str = "127.0.0.1:3001";

/// A store with its routes for operators, which are nested at `/idempotency`.
struct Site {
    store: MemoryStore,
    layer: IdempotencyLayer<MemoryStore>,
    app: Router,
}

/// A response with its body as text.
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The status and the code of a problem.
    fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text);
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16());
        for member in ["type", "title", "detail"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
        }
        (self.status.as_u16(), problem["code"].as_str().unwrap().to_owned())
    }

    fn is_problem(&self, status: u16, code: &str) {
        assert_eq!(self.problem(), (status, code.to_owned()), "{}", self.text);
    }
}

impl Site {
    fn new() -> Self {
        Self::with(|admin| admin)
    }

    fn with(change: impl FnOnce(Admin<MemoryStore>) -> Admin<MemoryStore>) -> Self {
        let store = MemoryStore::new();
        let layer = IdempotencyLayer::new(store.clone()).label_records();
        let admin = Admin::new(&layer, |parts| {
            let name = parts.headers.get("x-operator")?;
            Some(name.to_str().ok()?.to_owned())
        });
        let app = Router::new().nest("/idempotency", change(admin).router());
        Self { store, layer, app }
    }

    async fn send(&self, request: Request<Body>) -> Reply {
        let response = patiently(self.app.clone().oneshot(request)).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Reply { status: parts.status, headers: parts.headers, text }
    }

    async fn get(&self, path: &str) -> Reply {
        self.send(get(path).body(Body::empty()).unwrap()).await
    }

    async fn found(&self, path: &str) -> Value {
        let reply = self.get(path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text);
        reply.json()
    }

    async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(post(path).body(body.to_string().into()).unwrap()).await
    }

    /// Sends a change of a record as it is now, with these members.
    async fn change(&self, name: &str, action: &str, members: Value) -> Reply {
        let body = change_of(&self.record(name).await, members);
        self.post(&format!("records/{}/{action}", self.digits(name)), &body).await
    }

    async fn record(&self, name: &str) -> Value {
        self.found(&format!("records/{}", self.digits(name))).await["record"].clone()
    }

    fn key(&self, name: &str) -> StorageKey {
        let key = IdempotencyKey::parse(name.as_bytes()).unwrap();
        self.layer.operator("test").unwrap().storage_key(&Scope::new("account"), &key)
    }

    fn digits(&self, name: &str) -> String {
        self.key(name).to_hex()
    }

    async fn reserve(&self, name: &str, route: &str, lease: Duration) -> Lease {
        let scope = self.layer.operator("test").unwrap().scope_digest(&Scope::new("account"));
        let request = ReserveRequest::new(self.key(name), Fingerprint::of_fields([name]))
            .scope(scope)
            .lease(lease)
            .retention(LONG)
            .label(Arc::new(RecordLabel::new("payments", route)));
        match self.store.reserve(&request).await.unwrap() {
            Reservation::Acquired(lease) => lease,
            Reservation::Found(found) => panic!("the key is free, but there is {found:?}"),
        }
    }

    async fn in_flight(&self, name: &str) -> Lease {
        self.reserve(name, "POST /payments", LONG).await
    }

    async fn abandoned(&self, name: &str) -> Lease {
        let lease = self.reserve(name, "POST /payments", SHORT).await;
        while self.record(name).await["state"] != "abandoned" {
            tokio::task::yield_now().await;
        }
        lease
    }

    async fn failed(&self, name: &str) {
        let lease = self.in_flight(name).await;
        let _ = self.store.fail(&lease, Some(&response(502, "down")), LONG).await.unwrap();
    }

    async fn succeeded(&self, name: &str) {
        let lease = self.in_flight(name).await;
        let mut paid = response(201, "SECRET-BODY");
        paid.headers.insert(header::LOCATION, "/SECRET-HEADER".parse().unwrap());
        let _ = self.store.complete(&lease, &paid, LONG).await.unwrap();
    }

    async fn not_retained(&self, name: &str) {
        let lease = self.in_flight(name).await;
        let body = StoredBody::NotRetained(NotRetained::TooLarge);
        let large = Outcome::new(StatusCode::CREATED, body);
        let _ = self.store.complete(&lease, &large, LONG).await.unwrap();
    }

    /// One record in each state.
    async fn plant(&self) {
        let _ = self.in_flight("running").await;
        self.abandoned("cut-off").await;
        self.failed("failed").await;
        self.succeeded("paid").await;
        self.not_retained("large").await;
    }
}

/// A request of an operator with a program. The page has no path.
fn get(path: &str) -> http::request::Builder {
    let path = if path.is_empty() { "" } else { &format!("/{path}") };
    Request::get(format!("/idempotency{path}"))
        .header("host", HOST)
        .header("x-operator", "night shift")
}

fn post(path: &str) -> http::request::Builder {
    get(path).method("POST").header("content-type", "application/json")
}

fn response(status: u16, body: &str) -> Outcome {
    let bytes = body.to_owned().into();
    let status = StatusCode::from_u16(status).unwrap();
    Outcome::new(status, StoredBody::Whole { bytes, trailers: None })
}

/// The body of a change of a record that the operator sees, with a reason.
fn change_of(record: &Value, members: Value) -> Value {
    let mut body = json!({
        "seen": {
            "attempt": record["attempt"], "token": record["token"], "state": record["state"],
        },
        "reason": "the provider says so",
    });
    let Value::Object(members) = members else { panic!("an object") };
    body.as_object_mut().unwrap().extend(members);
    body
}
