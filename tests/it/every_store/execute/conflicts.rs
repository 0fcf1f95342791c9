//! Operations that other transactions are in the way of.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sqlx::{Executor, Postgres};
use tokio::sync::Barrier;
use tower_idempotency::store::postgres::Isolation;
use tower_idempotency::store::{Conflict, DynStore, TxError};
use tower_idempotency::{
    Attempt, ExecuteError, Executed, Fingerprint, IdempotencyKey, IdempotencyLayer, OnFailed,
    Rejection, Scope,
};

use crate::support::Log;
use crate::support::databases::{Base, Pg};
use crate::support::given::in_transaction;

/// What a server says of a conflict, without the second transaction.
const CONFLICTS: [&str; 2] = [
    "DO $$ BEGIN RAISE EXCEPTION 'in the way' USING ERRCODE = '40001'; END $$",
    "DO $$ BEGIN RAISE EXCEPTION 'in the way' USING ERRCODE = '40P01'; END $$",
];
const OTHERS: [&str; 3] = [
    "DO $$ BEGIN RAISE EXCEPTION 'too late' USING ERRCODE = '55P03'; END $$",
    "DO $$ BEGIN RAISE EXCEPTION 'too late' USING ERRCODE = '57014'; END $$",
    "INSERT INTO orders VALUES (NULL)",
];

/// An error of the application. The layer does not know its type.
#[derive(Debug)]
struct Own(sqlx::Error);

impl fmt::Display for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the payout failed")
    }
}

impl Error for Own {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

async fn given(retries: u32) -> (Pg, IdempotencyLayer<DynStore>) {
    let base = Pg::start().await;
    let layer = in_transaction(&base).await.retry_conflicts(retries).on_failed(OnFailed::Reject);
    (base, layer)
}

/// Runs an operation whose first run inserts a row and then meets an error of the database.
async fn run<E: Send + 'static>(
    layer: &IdempotencyLayer<DynStore>,
    runs: &Arc<AtomicUsize>,
    sql: &'static str,
    convert: fn(&Attempt, sqlx::Error) -> E,
) -> Result<Executed<usize>, ExecuteError<E>> {
    let runs = Arc::clone(runs);
    let operation = move |attempt: Attempt| {
        let runs = Arc::clone(&runs);
        async move {
            let run = runs.fetch_add(1, Ordering::SeqCst) + 1;
            let mut tx = attempt.transaction::<Postgres>().unwrap();
            tx.execute("INSERT INTO orders VALUES ('book')").await.unwrap();
            let sql = if run == 1 { sql } else { "SELECT 1" };
            match tx.execute(sql).await {
                Ok(_) => Ok(run),
                Err(error) => Err(convert(&attempt, error)),
            }
        }
    };
    let key = IdempotencyKey::parse(b"message").unwrap();
    layer
        .execute(&Scope::new("account"), &key, Fingerprint::of_fields([b"payout"]), operation)
        .await
}

async fn runs_again<E: fmt::Debug + Send + 'static>(convert: fn(&Attempt, sqlx::Error) -> E) {
    for sql in CONFLICTS {
        // Without a retry the call is rejected, and the next call runs it.
        let ((base, layer), runs) = (given(0).await, Arc::default());
        let rejected = run(&layer, &runs, sql, convert).await;
        assert!(
            matches!(rejected, Err(ExecuteError::Rejected(Rejection::InFlight { .. }))),
            "{rejected:?}"
        );
        assert!(base.orders().await.is_empty() && base.records().await.is_empty());
        assert_eq!(run(&layer, &runs, sql, convert).await.unwrap(), Executed::new(2, false));
        assert_eq!(
            (base.orders().await.len(), base.records().await),
            (1, vec!["success".to_owned()])
        );

        let layer = in_transaction(&base).await.retry_conflicts(1);
        base.ask("DELETE FROM idempotency_records").await;
        let runs = Arc::default();
        assert_eq!(run(&layer, &runs, sql, convert).await.unwrap(), Executed::new(2, false));
        assert_eq!(base.orders().await.len(), 2);
        base.at_rest().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_runs_again_after_a_conflict_in_an_error_of_the_driver() {
    runs_again(|_, error| error).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_runs_again_after_a_conflict_in_an_error_of_a_transaction() {
    runs_again(|_, error| TxError::from(error)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_runs_again_after_a_conflict_among_the_sources_of_a_boxed_error() {
    runs_again(|_, error| Box::<dyn Error + Send + Sync>::from(Own(error))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_runs_again_after_a_conflict_that_it_returns() {
    runs_again(|_, error| Conflict::of(&error).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_runs_again_after_a_conflict_that_it_reports() {
    let convert = |attempt: &Attempt, error| {
        attempt.clone().report_conflict();
        Own(error)
    };
    runs_again(convert).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_is_not_a_conflict_has_failed() {
    for sql in OTHERS {
        let ((base, layer), runs) = (given(3).await, Arc::default());
        let failed = run(&layer, &runs, sql, |_, error| error).await;
        assert!(matches!(failed, Err(ExecuteError::Failed(_))), "{failed:?}");
        assert_eq!(
            (base.orders().await, base.records().await),
            (vec![], vec!["failed".to_owned()])
        );
        let rejected = run(&layer, &runs, sql, |_, error| error).await;
        assert!(
            matches!(rejected, Err(ExecuteError::Rejected(Rejection::AttemptFailed { .. }))),
            "{rejected:?}"
        );
        assert_eq!(runs.load(Ordering::SeqCst), 1);
    }
}

/// Two operations read what the other one writes, so the commit of one of them fails.
#[tokio::test(flavor = "multi_thread")]
async fn operations_that_cannot_be_serialized_run_again_until_they_can() {
    let base = Pg::start().await;
    let store = base.tx_store().isolation(Isolation::Serializable);
    let layer = IdempotencyLayer::new(store).retry_conflicts(5);
    let (barrier, runs) = (Arc::new(Barrier::new(2)), Arc::new(AtomicUsize::new(0)));
    let payout = |name: &'static str| {
        let (layer, barrier, runs) = (layer.clone(), Arc::clone(&barrier), Arc::clone(&runs));
        let operation = move |attempt: Attempt| {
            let (barrier, runs) = (Arc::clone(&barrier), Arc::clone(&runs));
            async move {
                let mut tx = attempt.transaction::<Postgres>().unwrap();
                let count: i64 =
                    sqlx::query_scalar("SELECT count(*) FROM orders").fetch_one(&mut *tx).await?;
                if runs.fetch_add(1, Ordering::SeqCst) < 2 {
                    barrier.wait().await;
                }
                let insert = sqlx::query("INSERT INTO orders VALUES ($1)").bind(count.to_string());
                insert.execute(&mut *tx).await?;
                Ok::<_, sqlx::Error>(count)
            }
        };
        async move {
            let key = IdempotencyKey::parse(name.as_bytes()).unwrap();
            let fingerprint = Fingerprint::of_fields([name]);
            layer.execute(&Scope::new("account"), &key, fingerprint, operation).await.unwrap().value
        }
    };
    let (a, b) = tokio::join!(payout("a"), payout("b"));
    assert_eq!((a.min(b), a.max(b)), (0, 1));
    assert_eq!(base.orders().await, ["0", "1"]);
    assert!(runs.load(Ordering::SeqCst) > 2);
    base.at_rest().await;
}

#[tokio::test]
async fn a_conflict_that_an_error_of_the_application_hides_is_told_once() {
    let (log, _guard) = Log::warnings();
    let told = || log.lines("does not say whether").len();
    let ((_base, layer), runs) = (given(3).await, Arc::default());
    // Its type is known, so it hides nothing.
    let failed = run(&layer, &runs, OTHERS[2], |_, error| TxError::from(error)).await;
    assert!(matches!(failed, Err(ExecuteError::Failed(_))), "{failed:?}");
    assert_eq!(told(), 0);
    for name in ["one", "two"] {
        let ((layer, runs), name) = ((layer.clone().namespace(name), Arc::default()), name);
        let failed = run(&layer, &runs, CONFLICTS[0], |_, error| Own(error)).await;
        assert!(matches!(failed, Err(ExecuteError::Failed(_))), "{name}: {failed:?}");
        assert_eq!(told(), 1);
    }
    assert!(log.lines("does not say whether")[0].contains("Attempt::report_conflict"));
}
