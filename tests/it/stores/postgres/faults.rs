//! The PostgreSQL store while its server is down, silent or cut off.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::routing::post;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tower::ServiceExt;
use tower_idempotency::store::{Record, Settlement, State, Store, StoreErrorKind};
use tower_idempotency::{
    Attempt, IdempotencyLayer, OnAbandoned, PostgresStore, PreviousAttempt, Scope,
};

use crate::support::patiently;
use crate::support::postgres::{PostgresServer, acquired, outcome, pool, request, url};
use crate::support::proxy::Proxy;
use crate::support::wire::{State as Network, Way, Wire};

const TIMEOUT: Duration = Duration::from_millis(600);
/// How much later than that a response may come on a busy machine.
const GRACE: Duration = Duration::from_millis(400);

fn app(pool: PgPool) -> Router {
    let layer = IdempotencyLayer::new(PostgresStore::new(pool)).scope(|_| Scope::anonymous());
    Router::new()
        .route("/", post(|| async { StatusCode::CREATED }))
        .layer(layer.store_timeout(TIMEOUT))
}

async fn call(app: &Router, key: &str) -> Response<Body> {
    let request = Request::post("/").header("x-idempotency-key", key).body(Body::empty());
    app.clone().oneshot(request.unwrap()).await.unwrap()
}

fn is_replay(response: &Response<Body>) -> bool {
    response.headers().get("x-idempotent-result").is_some_and(|marker| marker == "true")
}

/// Sends as many requests at once, and each is rejected in time.
async fn all_are_rejected(app: &Router, round: &str, requests: usize) {
    let calls = (0..requests).map(|number| {
        let (app, key) = (app.clone(), format!("{round}-{number}"));
        tokio::spawn(async move {
            let start = Instant::now();
            (call(&app, &key).await, start.elapsed())
        })
    });
    for rejected in calls.collect::<Vec<_>>() {
        let (rejected, took) = rejected.await.unwrap();
        assert_eq!(rejected.status(), 503);
        assert!(rejected.headers().contains_key("retry-after"));
        assert!(took < TIMEOUT + GRACE, "{took:?}");
    }
}

/// Asks until there is service again.
async fn resumes(app: &Router) {
    let start = Instant::now();
    for number in 0.. {
        if call(app, &format!("after-{number}")).await.status() == 201 {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(5), "service has not resumed");
    }
}

/// Every place in the pool can be had, all at the same time.
async fn nothing_is_stuck(pool: &PgPool) {
    let all = patiently(async {
        let mut all = Vec::new();
        for _ in 0..pool.options().get_max_connections() {
            all.push(pool.acquire().await.unwrap());
        }
        all
    });
    assert_eq!(all.await.len(), pool.options().get_max_connections() as usize);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_server_killed_every_request_is_rejected_in_time_and_service_resumes_by_itself() {
    let mut server = PostgresServer::start_migrated();
    let pool = pool(server.port(), 5);
    let app = app(pool.clone());
    assert_eq!(call(&app, "before").await.status(), 201);

    server.kill();
    for round in 0..3 {
        all_are_rejected(&app, &round.to_string(), 20).await;
    }
    server.restart();
    resumes(&app).await;
    assert!(is_replay(&call(&app, "before").await), "what was acknowledged is there");
    nothing_is_stuck(&pool).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_server_stopped_every_request_is_rejected_in_time_and_service_resumes_by_itself() {
    let server = PostgresServer::start_migrated();
    let pool = pool(server.port(), 5);
    let app = app(pool.clone());
    assert_eq!(call(&app, "before").await.status(), 201);

    server.stop();
    for round in 0..3 {
        all_are_rejected(&app, &round.to_string(), 20).await;
    }
    server.resume();
    resumes(&app).await;
    assert!(is_replay(&call(&app, "before").await));
    nothing_is_stuck(&pool).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_no_connection_left_in_the_pool_a_request_is_rejected_in_time_and_leaves_nothing() {
    let server = PostgresServer::start_migrated();
    let pool = pool(server.port(), 1);
    let app = app(pool.clone());
    let taken = pool.acquire().await.unwrap();
    all_are_rejected(&app, "during", 20).await;
    drop(taken);
    assert_eq!(call(&app, "after").await.status(), 201);
    let rows = "SELECT count(*) FROM idempotency_records";
    let rows: i64 = sqlx::query_scalar(rows).fetch_one(&pool).await.unwrap();
    assert_eq!(rows, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_fell_silent_is_given_up() {
    let server = PostgresServer::start_migrated();
    let proxy = Proxy::start(server.port()).await;
    let pool = pool(proxy.port(), 5);
    let app = app(pool.clone());
    for round in 0..5 {
        let calls = (0..5).map(|number| {
            let (app, key) = (app.clone(), format!("{round}-{number}"));
            tokio::spawn(async move { call(&app, &key).await.status() })
        });
        for served in calls.collect::<Vec<_>>() {
            assert_eq!(served.await.unwrap(), 201);
        }
        // Some of the connections are on their way back to the pool.
        proxy.silence();
        resumes(&app).await;
    }
    nothing_is_stuck(&pool).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_no_writes_any_more_is_left_for_the_one_behind_the_same_address() {
    let (before, after) = (PostgresServer::start_migrated(), PostgresServer::start_migrated());
    let proxy = Proxy::start(before.port()).await;
    let app = app(pool(proxy.port(), 5));
    assert_eq!(call(&app, "before").await.status(), 201);

    let demote = "SET default_transaction_read_only = on";
    for statement in [&format!("ALTER SYSTEM {demote}"), "SELECT pg_reload_conf()"] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned()))
            .execute(&before.pool())
            .await
            .unwrap();
    }
    proxy.lead_to(after.port());
    resumes(&app).await;
}

/// A pool of connections that are not tested before each use.
pub(super) fn untested(port: u16, connections: u32) -> PgPool {
    let options = PgPoolOptions::new().max_connections(connections).test_before_acquire(false);
    options.connect_lazy(&url(port)).unwrap()
}

/// Waits until no connection is in use, nor on its way back.
pub(super) async fn rests(pool: &PgPool) {
    patiently(async {
        while pool.num_idle() < pool.size() as usize {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_server_was_restarted_the_first_request_is_served() {
    let mut server = PostgresServer::start_migrated();
    let pool = untested(server.port(), 5);
    nothing_is_stuck(&pool).await;
    rests(&pool).await;
    assert_eq!(pool.size(), 5);
    server.restart();
    assert_eq!(call(&app(pool), "key").await.status(), 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_has_lost_its_statements_is_replaced() {
    let server = PostgresServer::start_migrated();
    let pool = untested(server.port(), 1);
    let app = app(pool.clone());
    assert_eq!(call(&app, "before").await.status(), 201);
    sqlx::raw_sql("DISCARD ALL").execute(&pool).await.unwrap();
    assert!(is_replay(&call(&app, "before").await));
}

/// A server that is reached through a network that loses replies, and directly beside it.
struct Apart {
    server: PostgresServer,
    wire: Wire,
    pool: PgPool,
    through: PostgresStore,
    beside: PostgresStore,
}

impl Apart {
    async fn start() -> Self {
        let server = PostgresServer::start_migrated();
        let wire = Wire::start(server.port()).await;
        let pool = untested(wire.port(), 1);
        // Preparing a statement would be a round trip of its own, and the reply to it would be the
        // lost one.
        let (through, beside) =
            (PostgresStore::new(pool.clone()).persistent(false), server.store());
        through.ping().await.unwrap();
        Self { server, wire, pool, through, beside }
    }

    /// Does something whose reply is lost, and the connection with it; the network is then as
    /// `after`.
    async fn losing_the_reply<T>(&self, work: impl Future<Output = T>, after: Network) -> T {
        self.losing_reply(1, work, after).await
    }

    /// The same for one of its replies.
    async fn losing_reply<T>(
        &self,
        number: usize,
        work: impl Future<Output = T>,
        after: Network,
    ) -> T {
        rests(&self.pool).await;
        let before = self.wire.seen().replies;
        let lose = async {
            self.wire.reached(|seen| seen.replies + 1 >= before + number).await;
            self.wire.set(Network::Open { requests: Way::Pass, replies: Way::Lose });
            self.wire.reached(|seen| seen.replies >= before + number).await;
            self.wire.set(after);
        };
        // First the network, or the first reply would be there already.
        tokio::join!(biased; lose, work).1
    }

    async fn record(&self) -> Option<Record> {
        self.beside.inspect(&request("key").key).await.unwrap()
    }

    async fn is_free(&self) {
        patiently(async { while self.record().await.is_some() {} }).await;
    }
}

const RETENTION: Duration = Duration::from_mins(1);

#[tokio::test]
async fn a_write_whose_reply_was_lost_is_known_as_ones_own() {
    for bytes in [10, 100_000] {
        let apart = Apart::start().await;
        let (request, fine) = (request("key"), Network::FINE);
        let reserve = Box::pin(apart.through.reserve(&request));
        let reserved = apart.losing_the_reply(reserve, fine).await;
        let lease = acquired(reserved.unwrap());
        assert_eq!((lease.attempt, lease.previous), (1, None));
        assert_eq!(apart.record().await.unwrap().token, lease.token);

        let renewed = apart.losing_the_reply(apart.through.renew(&lease), fine).await;
        assert_eq!(renewed.unwrap(), Settlement::Applied);
        let failed =
            apart.losing_the_reply(apart.through.fail(&lease, None, RETENTION), fine).await;
        assert_eq!(failed.unwrap(), Settlement::Applied);

        // The first reply tells of the failed record.
        let second = apart.losing_reply(2, apart.through.reserve(&request), fine).await;
        let second = acquired(second.unwrap());
        assert_eq!(
            (second.attempt, second.previous),
            (2, Some(PreviousAttempt::Failed { status: None }))
        );
        let stored = outcome(201, bytes);
        let completed =
            apart.losing_the_reply(apart.through.complete(&second, &stored, RETENTION), fine).await;
        assert_eq!(completed.unwrap(), Settlement::Applied);
        assert!(
            matches!(apart.record().await.unwrap().state, State::Success(found) if found == stored)
        );
    }
}

#[tokio::test]
async fn a_write_whose_reply_was_lost_stays_without_one_if_it_cannot_be_sent_again() {
    let apart = Apart::start().await;
    let lease = acquired(apart.through.reserve(&request("key")).await.unwrap());
    let stored = outcome(201, 10);
    let complete = apart.through.complete(&lease, &stored, RETENTION);
    let completed = apart.losing_the_reply(complete, Network::Closed).await;
    assert_eq!(completed.unwrap_err().kind(), StoreErrorKind::Timeout);
    assert!(matches!(apart.record().await.unwrap().state, State::Success(_)));
}

#[tokio::test]
async fn a_release_is_not_sent_twice() {
    let apart = Apart::start().await;
    let lease = acquired(apart.through.reserve(&request("key")).await.unwrap());
    let released =
        Box::pin(apart.losing_the_reply(apart.through.release(&lease), Network::FINE)).await;
    assert_eq!(released.unwrap_err().kind(), StoreErrorKind::Timeout);
    assert!(apart.record().await.is_none());
}

#[tokio::test]
async fn a_reservation_whose_reply_was_lost_is_taken_back_if_it_cannot_be_sent_again() {
    let apart = Apart::start().await;
    let request = request("key");
    let reserve = Box::pin(apart.through.reserve(&request));
    let reserved = apart.losing_the_reply(reserve, Network::Closed).await;
    assert_eq!(reserved.unwrap_err().kind(), StoreErrorKind::Timeout);
    assert!(apart.record().await.is_some(), "it was made");
    apart.wire.set(Network::FINE);
    apart.is_free().await;
}

#[tokio::test]
async fn a_reservation_whose_caller_has_given_up_is_taken_back() {
    let apart = Apart::start().await;
    rests(&apart.pool).await;
    apart.wire.set(Network::Open { requests: Way::Pass, replies: Way::Hold });
    let before = apart.wire.seen().replies;
    let request = request("key");
    tokio::select! {
        _ = apart.through.reserve(&request) => panic!("the reply is held back"),
        () = apart.wire.reached(|seen| seen.replies > before) => {}
    }
    assert!(apart.record().await.is_some(), "it was made");
    apart.wire.set(Network::FINE);
    apart.is_free().await;
    assert_eq!(acquired(apart.beside.reserve(&request).await.unwrap()).attempt, 1);
}

#[tokio::test]
async fn a_take_over_whose_reply_was_lost_leaves_the_record_that_it_found() {
    let apart = Apart::start().await;
    let rejecting = request("key").retry_abandoned(false);
    let first = acquired(apart.through.reserve(&rejecting).await.unwrap());
    let failure = outcome(502, 10);
    assert_eq!(
        apart.through.fail(&first, Some(&failure), RETENTION).await.unwrap(),
        Settlement::Applied
    );
    let reserved = apart.losing_reply(2, apart.through.reserve(&rejecting), Network::Closed).await;
    assert_eq!(reserved.unwrap_err().kind(), StoreErrorKind::Timeout);
    assert_ne!(apart.record().await.unwrap().token, first.token, "it was taken over");
    apart.wire.set(Network::FINE);
    patiently(async { while apart.record().await.unwrap().token != first.token {} }).await;
    assert_eq!(apart.record().await.unwrap().attempt, 1);
    let second = acquired(apart.beside.reserve(&rejecting).await.unwrap());
    let previous = PreviousAttempt::Failed { status: Some(StatusCode::BAD_GATEWAY) };
    assert_eq!((second.attempt, second.previous), (2, Some(previous)));
}

#[tokio::test]
async fn a_take_over_whose_reply_was_lost_leaves_an_abandoned_record_abandoned() {
    let apart = Apart::start().await;
    let brief = request("key").lease(Duration::from_millis(1));
    let first = acquired(apart.beside.reserve(&brief).await.unwrap());
    // Longer than its lease.
    tokio::time::sleep(Duration::from_millis(5)).await;
    let reserved =
        apart.losing_reply(2, apart.through.reserve(&request("key")), Network::Closed).await;
    assert_eq!(reserved.unwrap_err().kind(), StoreErrorKind::Timeout);
    assert_ne!(apart.record().await.unwrap().token, first.token, "it was taken over");
    apart.wire.set(Network::FINE);
    patiently(async { while apart.record().await.unwrap().token != first.token {} }).await;
    let second = acquired(apart.beside.reserve(&request("key")).await.unwrap());
    assert_eq!((second.attempt, second.previous), (2, Some(PreviousAttempt::Abandoned)));
}

#[tokio::test]
async fn a_retry_after_a_take_over_without_a_reply_is_not_told_that_the_outcome_is_unknown() {
    let apart = Apart::start().await;
    let runs = Arc::new(AtomicUsize::new(0));
    let handler = async |attempt: Attempt| {
        let status =
            if attempt.number() == 1 { StatusCode::BAD_GATEWAY } else { StatusCode::CREATED };
        (status, format!("attempt {} after {:?}", attempt.number(), attempt.previous()))
    };
    let counted = {
        let runs = Arc::clone(&runs);
        move |attempt: Attempt| {
            runs.fetch_add(1, Ordering::SeqCst);
            handler(attempt)
        }
    };
    let layer = IdempotencyLayer::new(apart.through.clone()).scope(|_| Scope::anonymous());
    let layer = layer.on_abandoned(OnAbandoned::Reject).store_timeout(Duration::from_secs(5));
    let app = Router::new().route("/", post(counted)).layer(layer);
    assert_eq!(call(&app, "key").await.status(), 502);
    assert_eq!(apart.losing_reply(2, call(&app, "key"), Network::Closed).await.status(), 503);
    let taken_over = "SELECT attempt FROM idempotency_records WHERE status = 'pending'";
    let taken_over: Vec<i64> =
        sqlx::query_scalar(taken_over).fetch_all(&apart.server.pool()).await.unwrap();
    assert_eq!(taken_over, [2]);
    apart.wire.set(Network::FINE);
    let mut retried = call(&app, "key").await;
    patiently(async {
        while retried.status() != StatusCode::CREATED {
            retried = call(&app, "key").await;
        }
    })
    .await;
    let text = axum::body::to_bytes(retried.into_body(), 1000).await.unwrap();
    assert_eq!(text, "attempt 2 after Some(Failed { status: Some(502) })");
    assert_eq!(runs.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_record_that_was_put_back_since_it_was_found_is_judged_anew() {
    let apart = Apart::start().await;
    let request = request("key");
    let first = acquired(apart.beside.reserve(&request).await.unwrap());
    assert_eq!(apart.beside.fail(&first, None, RETENTION).await.unwrap(), Settlement::Applied);
    rests(&apart.pool).await;
    let before = apart.wire.seen().replies;
    apart.wire.set(Network::Open { requests: Way::Pass, replies: Way::Hold });
    // It has found attempt 1 when attempt 2 begins and is released.
    let between = async {
        apart.wire.reached(|seen| seen.replies > before).await;
        let second = acquired(apart.beside.reserve(&request).await.unwrap());
        assert_eq!(apart.beside.release(&second).await.unwrap(), Settlement::Applied);
        apart.wire.set(Network::FINE);
        second.attempt
    };
    let (reserved, second) = tokio::join!(apart.through.reserve(&request), between);
    assert_eq!((second, acquired(reserved.unwrap()).attempt), (2, 3));
}

#[tokio::test]
async fn a_response_that_was_written_anew_and_whose_reply_was_lost_is_known_as_ones_own() {
    let apart = Apart::start().await;
    let lease = acquired(apart.through.reserve(&request("key")).await.unwrap());
    sqlx::raw_sql("DELETE FROM idempotency_records").execute(&apart.pool).await.unwrap();
    let stored = outcome(201, 10);
    // The first reply says that there is no record.
    let complete = apart.through.complete(&lease, &stored, RETENTION);
    let completed = apart.losing_reply(2, complete, Network::FINE).await;
    assert_eq!(completed.unwrap(), Settlement::Applied);
    assert!(
        matches!(apart.record().await.unwrap().state, State::Success(found) if found == stored)
    );
}

#[tokio::test]
async fn a_release_of_a_later_attempt_is_not_sent_twice() {
    let apart = Apart::start().await;
    let first = acquired(apart.through.reserve(&request("key")).await.unwrap());
    assert_eq!(apart.through.fail(&first, None, RETENTION).await.unwrap(), Settlement::Applied);
    let second = acquired(apart.through.reserve(&request("key")).await.unwrap());
    let released =
        Box::pin(apart.losing_the_reply(apart.through.release(&second), Network::FINE)).await;
    assert_eq!(released.unwrap_err().kind(), StoreErrorKind::Timeout);
    let left = apart.record().await.unwrap();
    assert_eq!((left.attempt, left.token), (2, first.token));
    assert_eq!(apart.through.release(&second).await.unwrap(), Settlement::LeaseLost);
}
