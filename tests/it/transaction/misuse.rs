//! Handlers that do not give back what they were lent, or end what is not theirs to end.

use std::cell::RefCell;
use std::sync::Once;

use axum::body::Body;
use http_body_util::BodyExt;
use tracing::Level;

use super::script::{Stage, app, ask, layer, send};
use crate::support::databases::{Base, Pg};

/// The log of this thread, whose test has no others.
pub(super) struct Log;

thread_local! {
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Log {
    /// One for all threads. A subscriber that comes and goes with a test may miss a line that
    /// another test is the first to pass.
    pub(super) fn start() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let writer = || Log;
            tracing_subscriber::fmt()
                .with_ansi(false)
                .with_max_level(Level::ERROR)
                .with_writer(writer)
                .init();
        });
        tracing::callsite::rebuild_interest_cache();
    }

    #[track_caller]
    pub(super) fn tells(word: &str) {
        let lines = String::from_utf8(LINES.take()).unwrap();
        assert!(
            lines.lines().any(|line| line.contains(word)),
            "no error that tells of {word:?}:\n{lines}"
        );
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

mod postgres {
    use super::Pg;

    #[tokio::test]
    async fn a_transaction_that_is_not_given_back_is_not_committed() {
        super::a_transaction_that_is_not_given_back_is_not_committed::<Pg>().await;
    }

    #[tokio::test]
    async fn a_savepoint_that_is_forgotten_is_not_committed() {
        super::a_savepoint_that_is_forgotten_is_not_committed::<Pg>().await;
    }

    #[tokio::test]
    async fn a_constraint_that_fails_at_the_commit_is_told_as_the_handlers() {
        super::a_constraint_that_fails_at_the_commit_is_told_as_the_handlers::<Pg>().await;
    }

    #[tokio::test]
    async fn a_handler_that_commits_or_rolls_back_is_told_so_and_leaves_an_abandoned_attempt() {
        super::a_handler_that_commits_or_rolls_back_is_told_so_and_leaves_an_abandoned_attempt::<Pg>().await;
    }
}

mod sqlite {
    use crate::support::databases::Lite;

    #[tokio::test]
    async fn a_transaction_that_is_not_given_back_is_not_committed() {
        super::a_transaction_that_is_not_given_back_is_not_committed::<Lite>().await;
    }

    #[tokio::test]
    async fn a_savepoint_that_is_forgotten_is_not_committed() {
        super::a_savepoint_that_is_forgotten_is_not_committed::<Lite>().await;
    }

    #[tokio::test]
    async fn a_constraint_that_fails_at_the_commit_is_told_as_the_handlers() {
        super::a_constraint_that_fails_at_the_commit_is_told_as_the_handlers::<Lite>().await;
    }

    #[tokio::test]
    async fn a_handler_that_commits_or_rolls_back_is_told_so_and_leaves_an_abandoned_attempt() {
        super::a_handler_that_commits_or_rolls_back_is_told_so_and_leaves_an_abandoned_attempt::<
            Lite,
        >()
        .await;
    }
}

async fn a_transaction_that_is_not_given_back_is_not_committed<B: Base>() {
    Log::start();
    let (base, stage) = (B::start().await, Stage::new());
    let app = app::<B, _>(layer(base.store().await), &stage);

    ask(&app, "leaked", "insert book; leak").await.is_rejected(500, "idempotency_transaction_lost");
    Log::tells("for example by another task");
    stage.entered(1).await;
    // It is still open, and the key with it.
    ask(&app, "leaked", "insert book; leak").await.is_in_flight();
    stage.gate.open();
    base.at_rest().await;

    let response = send(&app, "streamed", "insert book; stream").await;
    assert_eq!(response.status(), 500);
    Log::tells("for example by another task");
    let body: Body = response.into_body();
    let problem = String::from_utf8(body.collect().await.unwrap().to_bytes().into()).unwrap();
    assert!(problem.contains("idempotency_transaction_lost"), "{problem}");
    base.at_rest().await;

    assert!(base.orders().await.is_empty() && base.records().await.is_empty());
    ask(&app, "leaked", "insert pen").await.is_first(201, "attempt 1");
    ask(&app, "streamed", "insert pen").await.is_first(201, "attempt 1");
    base.at_rest().await;
}

async fn a_savepoint_that_is_forgotten_is_not_committed<B: Base>() {
    Log::start();
    let (base, stage) = (B::start().await, Stage::new());
    let app = app::<B, _>(layer(base.store().await), &stage);
    for status in [201, 500, 404, 422] {
        let script = format!("insert book; forget-savepoint; insert pen; status {status}");
        let response = ask(&app, &status.to_string(), &script).await;
        if status == 201 {
            response.is_rejected(500, "idempotency_transaction_lost");
            Log::tells("has begun a savepoint");
        } else {
            response.is_first(status, "attempt 1");
        }
        base.at_rest().await;
        assert!(base.orders().await.is_empty());
    }
    assert_eq!(base.records().await, ["failed", "success"]);
    ask(&app, "next", "insert book").await.is_first(201, "attempt 1");
}

async fn a_constraint_that_fails_at_the_commit_is_told_as_the_handlers<B: Base>() {
    Log::start();
    let (base, stage) = (B::start().await, Stage::new());
    base.ask("CREATE TABLE shops (id integer PRIMARY KEY)").await;
    let shelves =
        "CREATE TABLE shelves (shop integer REFERENCES shops (id) DEFERRABLE INITIALLY DEFERRED)";
    base.ask(shelves).await;
    let app = app::<B, _>(layer(base.store().await), &stage);
    let script = "insert book; sql INSERT INTO shelves VALUES (1)";
    ask(&app, "key", script).await.is_rejected(500, "idempotency_transaction_lost");
    Log::tells("before the handler returns");
    base.at_rest().await;
    assert!(base.orders().await.is_empty() && base.records().await.is_empty());
}

async fn a_handler_that_commits_or_rolls_back_is_told_so_and_leaves_an_abandoned_attempt<
    B: Base,
>() {
    Log::start();
    let (base, stage) = (B::start().await, Stage::new());
    let app = app::<B, _>(layer(base.store().await), &stage);
    let mut own = Vec::new();
    for (end, again) in
        [("COMMIT", ""), ("ROLLBACK", ""), ("COMMIT", "sql BEGIN; "), ("ROLLBACK", "sql BEGIN; ")]
    {
        for status in [201, 404, 422, 500] {
            let key = format!("{end}{again}{status}").replace([' ', ';'], "");
            let script = format!("insert {key}; sql {end}; {again}insert late; status {status}");
            let response = ask(&app, &key, &script).await;
            Log::tells(
                "What it committed stays without a response, and a retry runs in doubt: look at \
                 what this attempt has written. The handler must send neither COMMIT nor ROLLBACK",
            );
            match status {
                201 | 404 => response.is_rejected(500, "idempotency_transaction_lost"),
                // It makes no difference to the client, who is not told that anything was done.
                status => drop(response.is_first(status, "attempt 1").clone()),
            }
            base.at_rest().await;
            if end == "COMMIT" {
                own.push(key.clone());
            }
            let (late, business): (Vec<_>, Vec<_>) =
                base.orders().await.into_iter().partition(|item| item == "late");
            own.sort();
            assert_eq!(business, own);
            // What it writes after the end of the transaction it commits itself, statement by
            // statement.
            base.ask("DELETE FROM orders WHERE item = 'late'").await;
            assert_eq!(late.len(), usize::from(again.is_empty()));
            assert_eq!(base.records().await, ["pending"], "{script}");
            base.ask("DELETE FROM idempotency_records").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_after_one_that_committed_by_itself_is_the_second() {
    let (base, stage) = (Pg::start().await, Stage::new());
    let app = app::<Pg, _>(layer(base.store().await), &stage);
    let script = "sql INSERT INTO orders SELECT count(*)::text FROM orders; sql COMMIT";
    ask(&app, "key", script).await.is_rejected(500, "idempotency_transaction_lost");
    ask(&app, "key", script).await.is_rejected(500, "idempotency_transaction_lost");
    let attempt = base.ask("SELECT status || ' ' || attempt FROM idempotency_records").await;
    assert_eq!(attempt, ["pending 2"]);
}

#[tokio::test]
async fn a_failed_statement_that_a_handler_hides_is_not_committed_on_postgres() {
    Log::start();
    let (base, stage) = (Pg::start().await, Stage::new());
    let app = app::<Pg, _>(layer(base.store().await), &stage);
    let script = "insert book; try INSERT INTO nowhere VALUES (1)";
    ask(&app, "key", script).await.is_rejected(500, "idempotency_transaction_lost");
    Log::tells("its response hides that");
    base.at_rest().await;
    assert!(base.orders().await.is_empty() && base.records().await.is_empty());
    for status in [404, 422, 500] {
        let hidden = ask(&app, &status.to_string(), &format!("{script}; status {status}")).await;
        hidden.is_first(status, "attempt 1");
    }
    assert_eq!(base.records().await, ["failed", "success"]);
    base.at_rest().await;
}

/// Its connection is lost, as with any guard passed to `mem::forget`. Nothing is committed, and
/// others go on.
#[tokio::test]
async fn a_transaction_that_is_forgotten_for_ever_is_not_committed() {
    let (base, stage) = (Pg::start().await, Stage::new());
    let app = app::<Pg, _>(layer(base.store().await), &stage);
    ask(&app, "key", "insert book; forget").await.is_rejected(500, "idempotency_transaction_lost");
    ask(&app, "key", "insert book; forget").await.is_in_flight();
    assert!(base.orders().await.is_empty());
    ask(&app, "other", "insert pen").await.is_first(201, "attempt 1");
}
