//! A record never loses a possible earlier execution. A later attempt sees it, and cannot
//! erase it, on every store that leases.

use std::convert::Infallible;
use std::future::{pending, ready};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response, StatusCode};
use sqlx::Postgres;
use tokio::sync::Notify;
use tower::{Layer, ServiceExt, service_fn};
use tower_http::timeout::TimeoutLayer;
use tower_idempotency::store::{DynStore, State};
use tower_idempotency::{
    Attempt, ExecuteError, IdempotencyKey, IdempotencyLayer, InFlight, OnAbandoned,
    PreviousAttempt, Rejection, ResponseDirective, Scope,
};

use crate::support::databases::{Base, Pg};
use crate::support::given::{Given, Kind, execute, in_transaction, over_every_store_that_leases};
use crate::support::{Fault, Operation, Scripted, TestLayer, patiently};

mod given_up;

over_every_store_that_leases! {
    an_attempt_in_which_nothing_happened_does_not_erase_an_abandoned_one
    an_attempt_in_which_nothing_happened_does_not_erase_a_failed_one
    an_operation_stays_in_doubt_when_a_later_attempt_fails
    a_panic_after_the_effect_leaves_the_operation_in_doubt
    a_timeout_inside_leaves_the_operation_in_doubt
    a_handler_that_discards_its_attempt_does_not_erase_an_abandoned_one
    a_failed_execution_does_not_erase_an_abandoned_one
    a_wait_for_a_missed_renewal_ends_in_time_and_the_next_request_goes_on_with_it
    an_abandoned_attempt_that_is_not_to_run_again_is_waited_for_once
    an_execution_that_is_abandoned_is_bound_to_its_fingerprint
}

const KEY: &str = "order-1001";
const AMOUNT: &str = "1200";
const OTHER_AMOUNT: &str = "9900";

/// What an attempt is told: its number, what the one before came to, and whether it is in doubt.
type Told = (u32, Option<PreviousAttempt>, bool);

fn failed(status: u16) -> PreviousAttempt {
    PreviousAttempt::Failed { status: StatusCode::from_u16(status).ok() }
}

/// A store, and a layer over it.
struct Stage {
    _given: Given,
    store: DynStore,
    layer: TestLayer,
}

impl Stage {
    async fn start(kind: Kind) -> Self {
        let given = kind.start().await;
        let store = given.store().await;
        let layer = Self::layer(store.clone());
        Self { _given: given, store, layer }
    }

    fn layer(store: DynStore) -> TestLayer {
        IdempotencyLayer::new(store)
            .namespace("earlier attempts")
            .store_timeout(Duration::from_secs(10))
    }

    /// A layer whose attempts cannot renew their leases, as if their process had been killed.
    fn dying(&self) -> TestLayer {
        let store = Scripted::over(self.store.clone());
        store.fault(Operation::Renew, Fault::Hang);
        Self::layer(DynStore::new(store)).lease(Duration::from_millis(100))
    }

    /// Begins an attempt that never ends; its lease has lapsed when this is ready.
    async fn abandon(&self, content_type: &str) {
        let (layer, begun) = (self.dying(), Arc::new(Notify::new()));
        let begins = Arc::clone(&begun);
        let hang = move |_: Request<Body>| {
            begins.notify_one();
            pending::<Result<Response<Body>, Infallible>>()
        };
        tokio::select! {
            _ = layer.layer(service_fn(hang)).oneshot(request(content_type, AMOUNT)) => panic!("it ended"),
            () = patiently(begun.notified()) => {}
        }
        self.lapsed(&Scope::anonymous(), KEY).await;
    }

    async fn lapsed(&self, scope: &Scope, key: &str) {
        let key = IdempotencyKey::parse(key.as_bytes()).unwrap();
        let lapsed = async {
            // A store tells that a lease has lapsed only when it is asked.
            while !matches!(self.state(scope, &key).await, Some(State::Pending { abandoned: true }))
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        patiently(lapsed).await;
    }

    async fn state(&self, scope: &Scope, key: &IdempotencyKey) -> Option<State> {
        self.layer.inspect(scope, key).await.unwrap().map(|record| record.state)
    }

    /// Sends the operation to a handler that gives this response; tells the status, and what the
    /// handler was told.
    async fn send(&self, response: fn() -> Response<Body>) -> (u16, Told) {
        self.send_as("text/plain", response).await
    }

    async fn send_as(&self, content_type: &str, response: fn() -> Response<Body>) -> (u16, Told) {
        let handler = service_fn(move |request: Request<Body>| {
            let mut response = response();
            response.extensions_mut().insert(told(&request));
            ready(Ok::<_, Infallible>(response))
        });
        let response =
            self.layer.layer(handler).oneshot(request(content_type, AMOUNT)).await.unwrap();
        let told = response.extensions().get().copied();
        (response.status().as_u16(), told.expect("the handler ran"))
    }

    /// Asserts that another operation under the key is rejected.
    async fn is_bound(&self, content_type: &str) {
        let handler = service_fn(async |_: Request<Body>| -> Result<Response<Body>, Infallible> {
            panic!("another operation ran under the key")
        });
        let rejected =
            self.layer.layer(handler).oneshot(request(content_type, OTHER_AMOUNT)).await.unwrap();
        let rejection = rejected.extensions().get::<Rejection>();
        assert!(matches!(rejection, Some(Rejection::KeyReused { .. })), "{rejected:?}");
    }
}

fn request(content_type: &str, amount: &'static str) -> Request<Body> {
    let request = Request::post("/payments").header("x-idempotency-key", KEY);
    request.header("content-type", content_type).body(Body::from(amount)).unwrap()
}

fn told(request: &Request<Body>) -> Told {
    let attempt = request.extensions().get::<Attempt>().unwrap();
    (attempt.number(), attempt.previous(), attempt.is_in_doubt())
}

fn status(status: u16) -> Response<Body> {
    Response::builder().status(status).body(Body::empty()).unwrap()
}

async fn an_attempt_in_which_nothing_happened_does_not_erase_an_abandoned_one(kind: Kind) {
    let responses: [fn() -> Response<Body>; 2] = [|| status(429), || status(401)];
    for response in responses {
        let stage = Stage::start(kind).await;
        stage.abandon("text/plain").await;
        for attempt in 2..=4 {
            stage.is_bound("text/plain").await;
            let (_, told) = stage.send(response).await;
            assert_eq!(told, (attempt, Some(PreviousAttempt::Abandoned), true));
        }
        stage.is_bound("text/plain").await;
        assert_eq!(
            stage.send(|| status(201)).await,
            (201, (5, Some(PreviousAttempt::Abandoned), true))
        );
        stage.is_bound("text/plain").await;
    }
}

async fn an_attempt_in_which_nothing_happened_does_not_erase_a_failed_one(kind: Kind) {
    let stage = Stage::start(kind).await;
    assert_eq!(stage.send(|| status(503)).await, (503, (1, None, false)));
    stage.is_bound("text/plain").await;
    for attempt in 2..=3 {
        assert_eq!(stage.send(|| status(429)).await, (429, (attempt, Some(failed(503)), true)));
        stage.is_bound("text/plain").await;
    }
    assert_eq!(stage.send(|| status(201)).await, (201, (4, Some(failed(503)), true)));
    stage.is_bound("text/plain").await;
}

async fn an_operation_stays_in_doubt_when_a_later_attempt_fails(kind: Kind) {
    let stage = Stage::start(kind).await;
    stage.abandon("text/plain").await;
    assert_eq!(
        stage.send(|| status(503)).await,
        (503, (2, Some(PreviousAttempt::Abandoned), true))
    );
    // The last attempt does not tell of the one that may have had the effect.
    assert_eq!(stage.send(|| status(429)).await, (429, (3, Some(failed(503)), true)));
    assert_eq!(stage.send(|| status(201)).await, (201, (4, Some(failed(503)), true)));
}

async fn a_panic_after_the_effect_leaves_the_operation_in_doubt(kind: Kind) {
    let stage = Stage::start(kind).await;
    let handler = service_fn(async |_: Request<Body>| -> Result<Response<Body>, Infallible> {
        panic!("as it was told to")
    });
    let service = stage.layer.layer(handler);
    let panicked = tokio::spawn(service.oneshot(request("text/plain", AMOUNT))).await;
    assert!(panicked.is_err_and(|error| error.is_panic()), "the panic goes on");
    stage.is_bound("text/plain").await;
    let nothing_known = Some(PreviousAttempt::Failed { status: None });
    assert_eq!(stage.send(|| status(429)).await, (429, (2, nothing_known, true)));
    assert_eq!(stage.send(|| status(201)).await, (201, (3, nothing_known, true)));
}

async fn a_timeout_inside_leaves_the_operation_in_doubt(kind: Kind) {
    for code in [StatusCode::GATEWAY_TIMEOUT, StatusCode::REQUEST_TIMEOUT] {
        let stage = Stage::start(kind).await;
        let (tell, mut was_told) = tokio::sync::mpsc::unbounded_channel();
        // Its effect is there before it is cut off.
        let handler = service_fn(move |request: Request<Body>| {
            tell.send(told(&request)).unwrap();
            pending::<Result<Response<Body>, Infallible>>()
        });
        let timeout = TimeoutLayer::with_status_code(code, Duration::from_millis(5));
        let service = stage.layer.layer(timeout.layer(handler));
        for expected in [
            (1, None, false),
            (2, Some(failed(code.as_u16())), true),
            (3, Some(failed(code.as_u16())), true),
        ] {
            let response = service.clone().oneshot(request("text/plain", AMOUNT)).await.unwrap();
            assert_eq!((response.status(), was_told.recv().await.unwrap()), (code, expected));
            stage.is_bound("text/plain").await;
        }
    }
}

async fn a_handler_that_discards_its_attempt_does_not_erase_an_abandoned_one(kind: Kind) {
    let discards = || {
        let mut response = status(402);
        response.extensions_mut().insert(ResponseDirective::discard());
        response
    };
    let stage = Stage::start(kind).await;
    stage.abandon("text/plain").await;
    for attempt in 2..=3 {
        assert_eq!(
            stage.send(discards).await,
            (402, (attempt, Some(PreviousAttempt::Abandoned), true))
        );
        stage.is_bound("text/plain").await;
    }
}

/// Begins an execution that never ends; its lease has lapsed when this is ready.
async fn abandon_execution(stage: &Stage) {
    let (layer, begun) = (stage.dying(), Arc::new(Notify::new()));
    let begins = Arc::clone(&begun);
    let hang = async move |_| {
        begins.notify_one();
        pending::<Result<u32, String>>().await
    };
    tokio::select! {
        _ = execute(&layer, "payout", hang) => panic!("it ended"),
        () = patiently(begun.notified()) => {}
    }
    stage.lapsed(&Scope::new("account"), "message").await;
}

async fn a_failed_execution_does_not_erase_an_abandoned_one(kind: Kind) {
    let stage = Stage::start(kind).await;
    abandon_execution(&stage).await;
    let erring = execute::<u32, _>(&stage.layer, "payout", async |attempt: Attempt| {
        assert_eq!((attempt.number(), attempt.previous()), (2, Some(PreviousAttempt::Abandoned)));
        assert!(attempt.is_in_doubt());
        Err("no".to_owned())
    });
    assert!(matches!(erring.await, Err(ExecuteError::Failed(_))));
    let third = execute(&stage.layer, "payout", async |attempt: Attempt| {
        assert_eq!(attempt.previous(), Some(PreviousAttempt::Failed { status: None }));
        assert!(attempt.is_in_doubt());
        Ok(attempt.number())
    });
    assert_eq!(third.await.unwrap().value, 3);
}

async fn an_execution_that_is_abandoned_is_bound_to_its_fingerprint(kind: Kind) {
    let stage = Stage::start(kind).await;
    abandon_execution(&stage).await;
    let ran = execute::<u32, _>(&stage.layer, "refund", async |_: Attempt| {
        panic!("another operation ran under the key")
    });
    let rejected = ran.await.unwrap_err();
    assert!(
        matches!(rejected, ExecuteError::Rejected(Rejection::KeyReused { .. })),
        "{rejected:?}"
    );
}

/// The only way in which an execution says that nothing happened.
#[tokio::test(flavor = "multi_thread")]
async fn an_execution_that_a_conflict_rolls_back_does_not_erase_a_failed_one_on_postgres() {
    let base = Pg::start().await;
    let statements = [
        "CREATE FUNCTION in_the_way() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN RAISE SQLSTATE '40001'; END $$",
        "CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED \
         FOR EACH ROW EXECUTE FUNCTION in_the_way()",
    ];
    for statement in statements {
        base.ask(statement).await;
    }
    let layer = in_transaction(&base).await;
    let erring = execute::<u32, _>(&layer, "payout", async |_| Err("no".to_owned())).await;
    assert!(matches!(erring, Err(ExecuteError::Failed(_))), "{erring:?}");
    for _ in 0..2 {
        let conflicting = execute(&layer, "payout", async |attempt: Attempt| {
            assert_eq!(attempt.previous(), Some(PreviousAttempt::Failed { status: None }));
            assert!(attempt.is_in_doubt());
            let mut tx = attempt.transaction::<Postgres>().unwrap();
            Pg::run(&mut tx, "INSERT INTO orders VALUES ('book')".into()).await.unwrap();
            Ok(attempt.number())
        });
        let rejected = conflicting.await.unwrap_err();
        assert!(
            matches!(rejected, ExecuteError::Rejected(Rejection::InFlight { .. })),
            "{rejected:?}"
        );
        let other =
            execute::<u32, _>(&layer, "refund", async |_| panic!("it ran")).await.unwrap_err();
        assert!(matches!(other, ExecuteError::Rejected(Rejection::KeyReused { .. })), "{other:?}");
    }
    assert!(base.orders().await.is_empty());
    base.at_rest().await;
}

#[cfg(feature = "grpc")]
mod grpc {
    use super::{Body, Kind, PreviousAttempt, Response, Stage};

    const GRPC: &str = "application/grpc";

    crate::support::given::over_every_store_that_leases! {
        a_call_in_which_nothing_happened_does_not_erase_an_abandoned_one
    }

    fn code(code: &'static str) -> Response<Body> {
        let response = Response::builder().header("content-type", GRPC).header("grpc-status", code);
        response.body(Body::empty()).unwrap()
    }

    async fn a_call_in_which_nothing_happened_does_not_erase_an_abandoned_one(kind: Kind) {
        let resource_exhausted_and_unauthenticated: [fn() -> Response<Body>; 2] =
            [|| code("8"), || code("16")];
        for response in resource_exhausted_and_unauthenticated {
            let stage = Stage::start(kind).await;
            stage.abandon(GRPC).await;
            for attempt in 2..=3 {
                let (_, told) = stage.send_as(GRPC, response).await;
                assert_eq!(told, (attempt, Some(PreviousAttempt::Abandoned), true));
                stage.is_bound(GRPC).await;
            }
        }
    }
}

/// A third of it, and a bit more, is what a request waits for a missed renewal.
const LEASE: Duration = Duration::from_secs(3);

async fn timed(layer: &TestLayer) -> (u16, Duration) {
    let handler =
        service_fn(|_: Request<Body>| ready(Ok::<_, Infallible>(Response::new(Body::empty()))));
    let begun = tokio::time::Instant::now();
    let response = layer.layer(handler).oneshot(request("text/plain", AMOUNT)).await.unwrap();
    (response.status().as_u16(), begun.elapsed())
}

async fn a_wait_for_a_missed_renewal_ends_in_time_and_the_next_request_goes_on_with_it(kind: Kind) {
    let stage = Stage::start(kind).await;
    stage.abandon("text/plain").await;
    let layer =
        stage.layer.clone().lease(LEASE).in_flight(InFlight::Wait(Duration::from_millis(50)));
    let (first, took) = timed(&layer).await;
    assert_eq!(first, 409);
    assert!(took < LEASE / 3, "{took:?}");
    // None of these requests waits long enough by itself.
    let runs = async { while timed(&layer).await.0 == 409 {} };
    patiently(runs).await;
}

async fn an_abandoned_attempt_that_is_not_to_run_again_is_waited_for_once(kind: Kind) {
    let stage = Stage::start(kind).await;
    stage.abandon("text/plain").await;
    let layer = stage.layer.clone().lease(LEASE).on_abandoned(OnAbandoned::Reject);
    let (first, took) = timed(&layer).await;
    assert_eq!(first, 409);
    assert!(took > LEASE / 3, "{took:?}");
    let (second, took) = timed(&layer).await;
    assert_eq!(second, 409);
    assert!(took < LEASE / 3, "{took:?}");
}
