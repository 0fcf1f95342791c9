//! Three requests under one key, for every response of the tables.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tower::{Layer, ServiceExt, service_fn};
use tower_idempotency::store::{
    DynStore, PendingRef, Record, State, StorageKey, Store, StoredBody,
};
use tower_idempotency::{Attempt, IdempotencyKey, IdempotencyLayer, PreviousAttempt, Scope};

use super::cases::Case;
use super::table::{Before, Meaning, Third};
use crate::support::{Fault, Operation, Scripted, TestLayer, patiently};

const NAMESPACE: &str = "statuses";
/// How many keys are used at once. A file has one writer, and a database so many connections.
const ABREAST: usize = 8;

/// What came before the attempt whose response is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    Nothing,
    /// An attempt that was cut off.
    Abandoned,
    /// An attempt with this response.
    Failed,
}

/// What a request gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Got {
    Replay,
    Mismatch,
    Ran { number: u32, previous: Option<PreviousAttempt>, in_doubt: bool },
}

/// What the test asks of the handler, in the extensions of a request.
#[derive(Clone)]
enum Asked {
    Give(Arc<Case>),
    Fail,
    /// It never ends; it tells when it has begun.
    Hang(Arc<Notify>),
}

const FAILED: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

/// Holds a store to the rows of these cases.
pub(super) async fn sweep(store: DynStore, cases: Vec<Case>, afters: &'static [After]) {
    let cases: Arc<[_]> = cases.into_iter().map(Arc::new).collect();
    abreast(&cases, afters, {
        // One clone of the layer for all of them: its renewals never get through.
        let store = Scripted::over(store.clone());
        store.fault(Operation::Renew, Fault::Hang);
        let layer = layer(DynStore::new(store)).lease(Duration::from_secs(1));
        move |key, case, after| {
            let layer = layer.clone();
            async move {
                if after == After::Abandoned {
                    begin(&layer, &key, &case).await;
                }
            }
        }
    })
    .await;
    // Each take-over waits for a beat of this lease.
    let layer = layer(store.clone()).lease(Duration::from_millis(60));
    abreast(&cases, afters, move |key, case, after| {
        let keyed = Keyed { store: store.clone(), layer: layer.clone(), key, case };
        async move { keyed.holds(after).await }
    })
    .await;
}

fn layer(store: DynStore) -> TestLayer {
    // Long, because a machine that is busy with other tests must not look like an outage.
    IdempotencyLayer::new(store)
        .namespace(NAMESPACE)
        .scope(|_| Scope::anonymous())
        .store_timeout(Duration::from_secs(10))
}

/// Does the work for every case under a key of its own, some of them at once.
async fn abreast<Fut: Future<Output = ()> + Send>(
    cases: &Arc<[Arc<Case>]>,
    afters: &'static [After],
    work: impl Fn(String, Arc<Case>, After) -> Fut + Clone + Send + 'static,
) {
    let mut tasks = JoinSet::new();
    for first in 0..ABREAST {
        let (cases, work) = (Arc::clone(cases), work.clone());
        tasks.spawn(async move {
            for (number, case) in cases.iter().enumerate().skip(first).step_by(ABREAST) {
                for after in afters {
                    work(format!("{number}-{after:?}"), Arc::clone(case), *after).await;
                }
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

/// Begins an attempt that never ends. Its client hangs up.
async fn begin(layer: &TestLayer, key: &str, case: &Case) {
    let begun = Arc::new(Notify::new());
    let hanging = ask(layer, request(key, case, "1200"), Asked::Hang(Arc::clone(&begun)));
    tokio::select! {
        (got, _) = hanging => panic!("it ended: {got:?}"),
        () = begun.notified() => {}
    }
}

fn request(key: &str, case: &Case, body: &'static str) -> Request<Body> {
    let request = Request::post("/")
        .header("x-idempotency-key", key)
        .header("content-type", case.content_type);
    request.body(Body::from(body)).unwrap()
}

/// Sends a request to a handler that does what it is asked, and tells what the handler saw.
async fn ask(layer: &TestLayer, mut request: Request<Body>, asked: Asked) -> (Got, Response<Body>) {
    request.extensions_mut().insert(asked);
    let response = patiently(layer.layer(service_fn(handle)).oneshot(request)).await.unwrap();
    let response = response.map(Body::new);
    let got = response.extensions().get::<Got>().copied();
    let got = got.unwrap_or_else(|| {
        let is_replay =
            response.headers().get("x-idempotent-result").is_some_and(|value| value == "true");
        if is_replay { Got::Replay } else { not_run(&response) }
    });
    (got, response)
}

#[track_caller]
fn not_run(response: &Response<Body>) -> Got {
    match response.extensions().get() {
        Some(tower_idempotency::Rejection::KeyReused { .. }) => Got::Mismatch,
        _ => panic!("neither run, nor a replay, nor a mismatch: {response:?}"),
    }
}

async fn handle(mut request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let extensions = request.extensions_mut();
    let attempt = extensions.remove::<Attempt>().unwrap();
    let mut response = match extensions.remove::<Asked>().unwrap() {
        Asked::Give(case) => case.gives.response(),
        Asked::Fail => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = FAILED;
            response
        }
        Asked::Hang(begun) => {
            begun.notify_one();
            pending().await
        }
    };
    response.extensions_mut().insert(Got::Ran {
        number: attempt.number(),
        previous: attempt.previous(),
        in_doubt: attempt.is_in_doubt(),
    });
    Ok(response)
}

fn ran(number: u32, previous: Option<PreviousAttempt>) -> Got {
    Got::Ran { number, previous, in_doubt: number > 1 }
}

fn failed(status: Option<StatusCode>) -> PreviousAttempt {
    PreviousAttempt::Failed { status }
}

/// A key, and the response that its operation gives.
struct Keyed {
    store: DynStore,
    layer: TestLayer,
    key: String,
    case: Arc<Case>,
}

impl Keyed {
    /// Sends the second and the third request; and the first one, if none was begun.
    async fn holds(&self, after: After) {
        let name = format!("{} after {after:?}", self.case.name);
        let before = match after {
            After::Nothing => None,
            After::Abandoned => {
                self.lapsed().await;
                Some(PreviousAttempt::Abandoned)
            }
            After::Failed => {
                let (got, _) = ask(&self.layer, self.request("1200"), Asked::Fail).await;
                assert_eq!(got, ran(1, None), "{name}");
                Some(failed(Some(FAILED)))
            }
        };
        let number = if before.is_some() { 2 } else { 1 };
        assert_eq!(self.next().await, ran(number, before), "{name}");
        self.is_recorded(number, before, &name).await;

        let row = &self.case.row;
        let third = if before.is_some() { row.after_attempt_2 } else { row.after_attempt_1 };
        let expected = match (third, before) {
            (Third::Replay, _) => Got::Replay,
            (Third::First, _) => ran(1, None),
            (Third::InDoubt(Before::Failed), _) => ran(3, Some(failed(self.case.recorded))),
            // After a failed attempt the guide says "failed" where it says "abandoned".
            (Third::InDoubt(Before::Abandoned), _) => ran(3, before),
        };
        if before.is_none() {
            let second = match expected {
                Got::Ran { number: 3, previous, .. } => ran(2, previous),
                other => other,
            };
            assert_eq!(self.next().await, second, "{name}: the second request");
        }
        assert_eq!(self.next().await, expected, "{name}: the third request");

        let other = match third {
            Third::First => ran(1, None),
            Third::Replay | Third::InDoubt(_) => Got::Mismatch,
        };
        let (got, _) =
            ask(&self.layer, self.request("9900"), Asked::Give(Arc::clone(&self.case))).await;
        assert_eq!(got, other, "{name}: another operation");
        assert_eq!(self.record().await.is_some(), got == Got::Mismatch, "{name}");
    }

    fn request(&self, body: &'static str) -> Request<Body> {
        request(&self.key, &self.case, body)
    }

    /// Asks for the operation once more; every request that is not rejected gets the response of
    /// the case.
    async fn next(&self) -> Got {
        let case = &self.case;
        let (got, response) =
            ask(&self.layer, self.request("1200"), Asked::Give(Arc::clone(case))).await;
        assert_eq!(response.status(), case.gives.status, "{}: {got:?}", case.name);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, case.gives.body, "{}: {got:?}", case.name);
        got
    }

    /// Asserts that the record is what the response means.
    async fn is_recorded(&self, number: u32, before: Option<PreviousAttempt>, name: &str) {
        let record = self.record().await;
        assert!(
            record.as_ref().is_none_or(|record| record.attempt == number),
            "{name}: {record:?}"
        );
        let state = record.map(|record| record.state);
        let is_failed = |state: &Option<State>, status| matches!(state, Some(State::Failed(outcome)) if outcome.as_ref().map(|outcome| outcome.status) == status);
        let is_right = match (self.case.row.meaning, before) {
            (Meaning::Stored, _) => {
                matches!(&state, Some(State::Success(outcome)) if matches!(outcome.body, StoredBody::Whole { .. }))
            }
            (Meaning::Failed, _) => is_failed(&state, self.case.recorded),
            (Meaning::Discarded, None) => state.is_none(),
            (Meaning::Discarded, Some(PreviousAttempt::Abandoned)) => {
                matches!(state, Some(State::Pending { abandoned: true }))
            }
            (Meaning::Discarded, Some(_)) => is_failed(&state, Some(FAILED)),
        };
        assert!(is_right, "{name}: {state:?}");
    }

    async fn record(&self) -> Option<Record> {
        let key = IdempotencyKey::parse(self.key.as_bytes()).unwrap();
        self.layer.inspect(&Scope::anonymous(), &key).await.unwrap()
    }

    /// Waits until the lease of the first attempt has lapsed; waiting for one is waiting for all.
    async fn lapsed(&self) {
        let key = IdempotencyKey::parse(self.key.as_bytes()).unwrap();
        let key = StorageKey::derive(None, NAMESPACE, &Scope::anonymous(), &key);
        while let Some(Record { token, state: State::Pending { abandoned: false }, .. }) =
            self.record().await
        {
            self.store
                .wait_for_change(&PendingRef::new(key, token), 0, Duration::from_secs(5))
                .await
                .unwrap();
        }
    }
}
