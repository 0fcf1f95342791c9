//! A handler that does what the body of its request says, and a client for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http_body_util::BodyExt;
use tokio::sync::Semaphore;
use tower::ServiceExt;
use tower_idempotency::store::{Store, TxError};
use tower_idempotency::{Attempt, IdempotencyLayer, Scope, Tx};

use crate::support::databases::Base;
use crate::support::{Gate, patiently};

/// What the handlers of a test have in common.
#[derive(Clone)]
pub(crate) struct Stage {
    runs: Arc<AtomicUsize>,
    entered: Arc<Semaphore>,
    pub(crate) gate: Gate,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self { runs: Arc::default(), entered: Arc::new(Semaphore::new(0)), gate: Gate::new() }
    }

    /// How often a handler ran.
    pub(crate) fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }

    /// Waits until so many more handlers are at the gate.
    pub(crate) async fn entered(&self, handlers: u32) {
        patiently(self.entered.acquire_many(handlers)).await.unwrap().forget();
    }

    pub(crate) async fn wait(&self) {
        self.entered.add_permits(1);
        self.gate.passed().await;
    }
}

pub(crate) fn layer<S: Store>(store: S) -> IdempotencyLayer<S> {
    // Long, because a machine that is busy with other tests must not look like an outage.
    IdempotencyLayer::new(store)
        .scope(|_| Scope::anonymous())
        .store_timeout(Duration::from_secs(10))
}

pub(crate) fn app<B: Base, S: Store>(layer: IdempotencyLayer<S>, stage: &Stage) -> Router {
    Router::new().route("/", post(run::<B>)).layer(layer).with_state(stage.clone())
}

/// Runs the steps of a script one after another, and responds with 201 unless one of them ends it.
async fn run<B: Base>(
    State(stage): State<Stage>,
    attempt: Attempt,
    tx: Tx<B::Db>,
    script: String,
) -> Result<Response, TxError> {
    stage.runs.fetch_add(1, Ordering::SeqCst);
    let mut tx = Some(tx);
    let mut status = StatusCode::CREATED;
    for step in script.split(';').map(str::trim) {
        let (word, rest) = step.split_once(' ').unwrap_or((step, ""));
        match word {
            "insert" => {
                let insert = format!("INSERT INTO orders (item) VALUES ('{rest}')");
                B::run(tx.as_mut().unwrap(), insert).await?;
            }
            "sql" => B::run(tx.as_mut().unwrap(), rest.to_owned()).await?,
            "try" => {
                // A handler that ignores the error.
                drop(B::run(tx.as_mut().unwrap(), rest.to_owned()).await);
            }
            "wait" => stage.wait().await,
            "panic" => panic!("as it was told to"),
            "status" => status = rest.parse().unwrap(),
            "savepoints" => B::use_savepoints(tx.as_mut().unwrap()).await,
            "forget-savepoint" => B::forget_savepoint(tx.as_mut().unwrap()).await,
            "forget" => std::mem::forget(tx.take()),
            "leak" => {
                let (tx, stage) = (tx.take(), stage.clone());
                tokio::spawn(async move {
                    stage.wait().await;
                    drop(tx);
                });
            }
            "stream" => {
                return Ok((status, Body::new(Holding { _tx: tx.take() })).into_response());
            }
            _ => panic!("no such step: {step}"),
        }
    }
    let before =
        attempt.previous().map_or(String::new(), |previous| format!(" after {previous:?}"));
    Ok((status, format!("attempt {}{before}", attempt.number())).into_response())
}

/// A body without an end, with something in it.
struct Holding<T> {
    _tx: T,
}

impl<T: Unpin> http_body::Body for Holding<T> {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

/// What a client gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScriptResponse {
    pub(crate) status: u16,
    pub(crate) text: String,
    pub(crate) is_replay: bool,
    retry_after: bool,
    should_retry: Option<String>,
}

impl ScriptResponse {
    /// The handler's own response, and not a replay of it.
    #[track_caller]
    pub(crate) fn is_first(&self, status: u16, text: &str) -> &Self {
        assert_eq!((self.status, &*self.text, self.is_replay), (status, text, false), "{self:?}");
        self
    }

    #[track_caller]
    pub(crate) fn replays(&self, first: &Self) {
        assert_eq!(
            (self.status, &self.text, self.is_replay),
            (first.status, &first.text, true),
            "{self:?}"
        );
    }

    #[track_caller]
    pub(crate) fn is_rejected(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.code(), code);
        let transient = [
            "idempotency_key_in_flight",
            "idempotency_store_unavailable",
            "idempotency_commit_unconfirmed",
        ];
        assert_eq!(self.retry_after, transient.contains(&code), "{self:?}");
        let is_final =
            code == "idempotency_key_reused" || code == "idempotency_result_not_retained";
        assert_eq!(self.should_retry.as_deref(), is_final.then_some("false"), "{self:?}");
    }

    /// The code of a rejection; empty if it is not one.
    pub(crate) fn code(&self) -> String {
        let problem: serde_json::Value = serde_json::from_str(&self.text).unwrap_or_default();
        problem["code"].as_str().unwrap_or_default().to_owned()
    }

    #[track_caller]
    pub(crate) fn is_in_flight(&self) {
        self.is_rejected(409, "idempotency_key_in_flight");
    }
}

pub(crate) async fn ask(app: &Router, key: &str, script: &str) -> ScriptResponse {
    read(send(app, key, script).await).await
}

/// Asks in a task of its own. Aborting it hangs up.
pub(crate) fn asking(
    app: &Router,
    key: &str,
    script: &str,
) -> tokio::task::JoinHandle<ScriptResponse> {
    let (app, key, script) = (app.clone(), key.to_owned(), script.to_owned());
    tokio::spawn(async move { ask(&app, &key, &script).await })
}

pub(crate) async fn send(app: &Router, key: &str, script: &str) -> Response {
    let request =
        Request::post("/").header("x-idempotency-key", key).body(Body::from(script.to_owned()));
    patiently(app.clone().oneshot(request.unwrap())).await.unwrap()
}

/// Asks until the response no longer says "later".
pub(crate) async fn persist(app: &Router, key: &str, script: &str) -> ScriptResponse {
    let asked = async {
        loop {
            let response = ask(app, key, script).await;
            if !response.retry_after && response.status != 500 {
                return response;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    patiently(asked).await
}

async fn read(response: Response) -> ScriptResponse {
    let (head, body) = response.into_parts();
    let header =
        |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let bytes = body.collect().await.unwrap().to_bytes();
    ScriptResponse {
        status: head.status.as_u16(),
        text: String::from_utf8(bytes.into()).unwrap(),
        is_replay: header("x-idempotent-result").as_deref() == Some("true"),
        retry_after: header("retry-after").is_some(),
        should_retry: header("x-should-retry"),
    }
}
