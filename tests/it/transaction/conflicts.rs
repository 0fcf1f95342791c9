//! Transactions that are in each other's way: real serialization failures and deadlocks of
//! PostgreSQL.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use sqlx::{Executor, PgConnection, Postgres};
use tokio::sync::Barrier;
use tower::ServiceExt;
use tower_idempotency::Tx;
use tower_idempotency::store::postgres::Isolation;
use tower_idempotency::store::{Conflict, TxError};

use super::script::{ScriptResponse, ask, layer, persist};
use crate::support::Log;
use crate::support::databases::{Base, Pg};

/// The first attempts of the two handlers meet between their first statement and their second.
#[derive(Clone)]
struct Meeting {
    runs: Arc<AtomicUsize>,
    barrier: Arc<Barrier>,
}

impl Meeting {
    fn new() -> Self {
        Self { runs: Arc::default(), barrier: Arc::new(Barrier::new(2)) }
    }

    async fn meet(&self) {
        if self.runs.fetch_add(1, Ordering::SeqCst) < 2 {
            self.barrier.wait().await;
        }
    }
}

type Handled = Result<(StatusCode, &'static str), TxError>;

/// Locks the accounts in the order that its request says.
async fn deadlock(State(meeting): State<Meeting>, mut tx: Tx<Postgres>, body: String) -> Handled {
    let (first, second) = if body == "a" { ("a", "b") } else { ("b", "a") };
    let add = "UPDATE accounts SET balance = balance + 1 WHERE name = $1";
    sqlx::query(add).bind(first).execute(&mut *tx).await?;
    meeting.meet().await;
    sqlx::query(add).bind(second).execute(&mut *tx).await?;
    Ok((StatusCode::CREATED, "done"))
}

/// Reads what the other one writes, so that no order of the two explains both.
async fn skew(State(meeting): State<Meeting>, mut tx: Tx<Postgres>, body: String) -> Handled {
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM orders").fetch_one(&mut *tx).await?;
    meeting.meet().await;
    sqlx::query("INSERT INTO orders VALUES ($1)")
        .bind(format!("{body}{count}"))
        .execute(&mut *tx)
        .await?;
    Ok((StatusCode::CREATED, "done"))
}

async fn both(app: &Router) -> [ScriptResponse; 2] {
    let (a, b) = tokio::join!(ask(app, "a", "a"), ask(app, "b", "b"));
    [a, b]
}

fn rejected(responses: &[ScriptResponse; 2]) -> usize {
    let rejected: Vec<_> = responses.iter().filter(|response| response.status != 201).collect();
    for response in &rejected {
        response.is_in_flight();
    }
    rejected.len()
}

async fn accounts() -> Pg {
    let base = Pg::start().await;
    base.connect()
        .await
        .execute(
            "CREATE TABLE accounts (name text, balance int); INSERT INTO accounts VALUES ('a', 0), ('b', 0)",
        )
        .await
        .unwrap();
    base
}

const BALANCES: &str = "SELECT balance::text FROM accounts ORDER BY name";

#[tokio::test(flavor = "multi_thread")]
async fn the_loser_of_a_deadlock_is_told_to_come_again_and_then_succeeds() {
    let base = accounts().await;
    let router = Router::new().route("/", post(deadlock)).layer(layer(base.tx_store()));
    let router = router.with_state(Meeting::new());
    assert_eq!(rejected(&both(&router).await), 1);
    assert_eq!(base.records().await, ["success"]);
    assert_eq!(base.ask(BALANCES).await, ["1", "1"]);
    for key in ["a", "b"] {
        persist(&router, key, key).await;
    }
    assert_eq!(base.ask(BALANCES).await, ["2", "2"]);
    base.at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_loser_of_a_deadlock_runs_again_if_asked_for() {
    let base = accounts().await;
    let router =
        Router::new().route("/", post(deadlock)).layer(layer(base.tx_store()).retry_conflicts(3));
    let router = router.with_state(Meeting::new());
    assert_eq!(rejected(&both(&router).await), 0);
    assert_eq!(base.ask(BALANCES).await, ["2", "2"]);
    assert_eq!(base.ask("SELECT attempt::text FROM idempotency_records").await, ["1", "1"]);
    base.at_rest().await;
}

/// The error of an application, as `thiserror` makes it with `#[from]`: the error of the database is
/// its source, here behind one more.
#[derive(Debug)]
enum AppError {
    Repository(RepositoryError),
}

#[derive(Debug)]
struct RepositoryError(sqlx::Error);

impl fmt::Display for AppError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the repository failed")
    }
}

impl fmt::Display for RepositoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a statement failed")
    }
}

impl Error for AppError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Repository(error) => Some(error),
        }
    }
}

impl Error for RepositoryError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

impl From<sqlx::Error> for AppError {
    fn from(error: sqlx::Error) -> Self {
        Self::Repository(RepositoryError(error))
    }
}

impl IntoResponse for AppError {
    fn into_response(self) -> Response {
        let conflict = Conflict::among_sources(&self);
        (StatusCode::INTERNAL_SERVER_ERROR, conflict, "the error of the application")
            .into_response()
    }
}

/// A function of a repository. It works in any transaction.
async fn add(connection: &mut PgConnection, account: &str) -> Result<(), sqlx::Error> {
    let add = "UPDATE accounts SET balance = balance + 1 WHERE name = $1";
    sqlx::query(add).bind(account).execute(connection).await.map(drop)
}

/// The error of an application as `#[error(transparent)]` makes it. The error of the database and
/// this one have the same source.
#[derive(Debug)]
struct TransparentError(sqlx::Error);

impl fmt::Display for TransparentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for TransparentError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

impl From<sqlx::Error> for TransparentError {
    fn from(error: sqlx::Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for TransparentError {
    fn into_response(self) -> Response {
        let conflict = Conflict::among_sources(&self);
        (StatusCode::INTERNAL_SERVER_ERROR, conflict, "the error of the application")
            .into_response()
    }
}

/// The error of an application that does not look for conflicts.
struct OpaqueError;

impl From<sqlx::Error> for OpaqueError {
    fn from(_: sqlx::Error) -> Self {
        Self
    }
}

impl IntoResponse for OpaqueError {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, "the error of the application").into_response()
    }
}

async fn deadlock_in_repository<E: From<sqlx::Error>>(
    State(meeting): State<Meeting>,
    mut tx: Tx<Postgres>,
    body: String,
) -> Result<(StatusCode, &'static str), E> {
    let (first, second) = if body == "a" { ("a", "b") } else { ("b", "a") };
    add(&mut tx, first).await?;
    meeting.meet().await;
    add(&mut tx, second).await?;
    if body == "fails" {
        sqlx::query("SELECT 1 / 0").execute(&mut *tx).await?;
    }
    Ok((StatusCode::CREATED, "done"))
}

async fn runs_again_after_a_deadlock<E>()
where
    E: From<sqlx::Error> + IntoResponse + Send + 'static,
{
    let (log, _guard) = Log::warnings();
    let base = accounts().await;
    let router = Router::new()
        .route("/", post(deadlock_in_repository::<E>))
        .layer(layer(base.tx_store()).retry_conflicts(3));
    let router = router.with_state(Meeting::new());
    assert_eq!(rejected(&both(&router).await), 0);
    assert_eq!(base.ask(BALANCES).await, ["2", "2"]);
    // Any other error stays the response of the handler, and hides nothing.
    ask(&router, "key", "fails").await.is_first(500, "the error of the application");
    assert_eq!(base.ask(BALANCES).await, ["2", "2"]);
    assert_eq!(log.lines("Conflict::among_sources"), [""; 0]);
    base.at_rest().await;
}

#[tokio::test]
async fn an_error_of_the_application_that_names_the_conflict_among_its_sources_runs_again() {
    runs_again_after_a_deadlock::<AppError>().await;
}

#[tokio::test]
async fn a_transparent_error_of_the_application_that_is_a_conflict_runs_again() {
    runs_again_after_a_deadlock::<TransparentError>().await;
}

#[tokio::test]
async fn a_failed_attempt_that_may_hide_a_conflict_is_told_where_conflicts_are_retried() {
    for (retries, told) in [(3, 1), (0, 0)] {
        let base = accounts().await;
        let (log, _guard) = Log::warnings();
        let layer = layer(base.tx_store()).retry_conflicts(retries);
        let router = Router::new()
            .route("/", post(deadlock_in_repository::<OpaqueError>))
            .route("/asks", post(deadlock_in_repository::<AppError>))
            .layer(layer);
        let meeting = Meeting::new();
        meeting.runs.store(2, Ordering::SeqCst);
        let router = router.with_state(meeting);
        let post = |path: &str, key: &str| {
            let request = Request::post(path).header("x-idempotency-key", key);
            router.clone().oneshot(request.body(Body::from("fails")).unwrap())
        };
        // An error that was looked at leaves the warning to the one that was not.
        for (path, key) in [("/asks", "one"), ("/", "two"), ("/", "three")] {
            let response = post(path, key).await.unwrap();
            assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        }
        let lines = log.lines("`tower_idempotency::store::Conflict::among_sources(&error)`");
        assert_eq!(lines.len(), told, "{lines:?}");
    }
}

#[tokio::test]
async fn an_operation_that_does_not_take_its_transaction_is_told() {
    let base = Pg::start().await;
    let (log, _guard) = Log::warnings();
    let router = Router::new()
        .route("/takes", post(async |_: Tx<Postgres>| "done"))
        .route("/fails", post(async || StatusCode::NOT_FOUND))
        .route("/", post(async || "done"))
        .layer(layer(base.tx_store()));
    let says = "never took its transaction";
    for (path, key, told) in [("/takes", "a", 0), ("/fails", "b", 0), ("/", "c", 1), ("/", "d", 1)]
    {
        let request = Request::post(path).header("x-idempotency-key", key);
        router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(log.lines(says).len(), told, "{path}");
    }
}

#[tokio::test]
async fn a_missing_key_a_missing_layer_and_a_store_that_leases_are_told_apart() {
    let base = Pg::start().await;
    let route = || Router::new().route("/", post(async |_: Tx<Postgres>| "done"));
    let post = |key: Option<&str>| {
        let request = Request::post("/");
        let request = match key {
            Some(key) => request.header("x-idempotency-key", key),
            None => request,
        };
        request.body(Body::empty()).unwrap()
    };
    let leasing = layer(base.server.store());
    for (router, key, says) in [
        (
            route(),
            Some("key"),
            "`route_layer`, which covers only the routes that were added before it",
        ),
        (route().layer(layer(base.tx_store())), None, "call `require_key` on the layer"),
        (route().layer(leasing), Some("key"), "give the layer `store.in_transaction()`"),
    ] {
        let response = router.oneshot(post(key)).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = to_bytes(response.into_body(), 4096).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(body.contains(says), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_cannot_be_serialized_is_told_to_come_again_and_then_succeeds() {
    let base = Pg::start().await;
    let store = base.tx_store().isolation(Isolation::Serializable);
    let router =
        Router::new().route("/", post(skew)).layer(layer(store)).with_state(Meeting::new());
    assert_eq!(rejected(&both(&router).await), 1);
    assert_eq!((base.orders().await.len(), base.records().await), (1, vec!["success".to_owned()]));
    for key in ["a", "b"] {
        assert_eq!(persist(&router, key, key).await.status, 201);
    }
    assert_eq!(base.orders().await.len(), 2);
    base.at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_cannot_be_serialized_runs_again_if_asked_for() {
    let base = Pg::start().await;
    let store = base.tx_store().isolation(Isolation::Serializable);
    let router = Router::new().route("/", post(skew)).layer(layer(store).retry_conflicts(5));
    let router = router.with_state(Meeting::new());
    assert_eq!(rejected(&both(&router).await), 0);
    let orders = base.orders().await;
    assert!(orders == ["a0", "b1"] || orders == ["a1", "b0"], "{orders:?}");
    base.at_rest().await;
}
