//! The sandbox with its records in PostgreSQL or SQLite, with and without transactions.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Executor};
use tempfile::TempDir;

use super::server::{Sandbox, order, order_with};
use crate::support::patiently;
use crate::support::postgres::PostgresServer;

/// The stores of one test: a server and a directory of files.
struct Stores {
    server: PostgresServer,
    directory: TempDir,
}

impl Stores {
    fn new() -> Self {
        Self { server: PostgresServer::start(), directory: tempfile::tempdir().unwrap() }
    }

    fn leased(&self) -> [String; 2] {
        [self.server.url(), format!("sqlite:{}", self.directory.path().join("leased.db").display())]
    }

    fn in_transaction(&self) -> [String; 2] {
        [self.server.tx_url(), format!("sqlite+tx:{}", self.file().display())]
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("tx.db")
    }

    /// Waits until a payment is written and not committed.
    async fn written(&self, store: &str) {
        if store.starts_with("sqlite") {
            let options =
                SqliteConnectOptions::new().filename(self.file()).busy_timeout(Duration::ZERO);
            let mut connection = options.connect().await.unwrap();
            while connection.execute("BEGIN IMMEDIATE").await.is_ok() {
                connection.execute("ROLLBACK").await.unwrap();
            }
            return;
        }
        let written = "SELECT count(*) FROM pg_stat_activity \
                       WHERE state = 'idle in transaction' AND query LIKE 'INSERT INTO payments%'";
        let pool = self.server.pool();
        while sqlx::query_scalar::<_, i64>(written).fetch_one(&pool).await.unwrap() == 0 {}
    }
}

/// Starts three processes at once on an unused store.
async fn three(store: &str) -> [Sandbox; 3] {
    let flags = ["--store", store];
    let start = || Sandbox::start_without_ledger(&flags);
    let (one, other, third) = tokio::join!(start(), start(), start());
    [one, other, third]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_in_one_process_is_replayed_by_another_and_by_the_next() {
    let stores = Stores::new();
    for store in stores.leased().into_iter().chain(stores.in_transaction()) {
        // The URL is the key: PostgreSQL has one table for both modes.
        let [one, other, _third] = three(&store).await;
        let first = one.pay(&store, &order()).await;
        assert_eq!((first.status.as_u16(), first.is_replay()), (201, false), "{store}");
        assert_eq!(one.get("/healthz").await.status, 200);
        drop(one);
        let next = Sandbox::start_without_ledger(&["--store", &store]).await;
        for sandbox in [other, next] {
            let replay = sandbox.pay(&store, &order()).await;
            assert!(replay.is_replay(), "{store}");
            assert_eq!(replay.body, first.body, "{store}");
            let another = order_with(json!({ "bytes": 1 }));
            sandbox.pay(&store, &another).await.rejected_for_good("idempotency_key_reused");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_transactions_the_ledger_is_a_file_as_ever() {
    let stores = Stores::new();
    for store in stores.leased() {
        let sandbox = Sandbox::start(&["--store", &store]).await;
        let id = sandbox.pay("k", &order()).await.json()["id"].clone();
        assert_eq!(sandbox.first_effect().await["id"], id, "{store}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_transactions_the_ledger_is_a_table_that_all_processes_see() {
    let stores = Stores::new();
    for store in stores.in_transaction() {
        let [one, other, third] = three(&store).await;
        let head = one
            .json("/payments")
            .header("x-idempotency-key", "k")
            .header("authorization", "Bearer me");
        let receipt = one.send(head, order().to_string()).await.json();
        let effects = third.effects().await;
        assert_eq!(effects.len(), 1, "{store}");
        assert_eq!(
            effects[0],
            json!({
                "key": "k", "scope": "me", "attempt": 1, "id": receipt["id"], "at": receipt["created_at"],
            })
        );
        let ledger = third.get("/ledger").await.json();
        assert_eq!(
            (&ledger[0]["amount"], &ledger[0]["currency"], &ledger[0]["to"]),
            (&json!(1200), &json!("EUR"), &json!("acct_2"))
        );
        // A refund is an effect as well, and one without a key is guarded by nothing.
        let refund = other.json("/payments/pay_1/refunds").header("x-idempotency-key", "r");
        assert_eq!(other.send(refund, order().to_string()).await.status, 201, "{store}");
        for _ in 0..2 {
            let unguarded = other.send(other.json("/payments"), order().to_string()).await;
            assert_eq!((unguarded.status.as_u16(), unguarded.is_replay()), (201, false), "{store}");
        }
        let keys: Vec<_> =
            one.effects().await.into_iter().map(|mut effect| effect["key"].take()).collect();
        assert_eq!(keys, [json!("k"), json!("r"), Value::Null, Value::Null], "{store}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_transaction_what_fails_after_its_effect_has_none() {
    let stores = Stores::new();
    for store in stores.in_transaction() {
        let [one, other, _third] = three(&store).await;
        let panics = order_with(json!({ "panic": "after" }));
        for attempt in 1..3 {
            assert_eq!(one.pay("panics", &panics).await.status, 500, "{store}");
            assert!(other.effects().await.is_empty(), "{store}: attempt {attempt}");
        }
        for status in [409, 500] {
            let rejected = order_with(json!({ "status": status }));
            assert_eq!(
                one.pay(&format!("responses-{status}"), &rejected).await.status,
                status,
                "{store}"
            );
        }
        assert!(other.effects().await.is_empty(), "{store}");
        assert!(
            other.pay("responses-409", &order_with(json!({ "status": 409 }))).await.is_replay(),
            "{store}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_in_a_transaction_leaves_nothing_in_the_way() {
    let stores = Stores::new();
    let slow = order_with(json!({ "after_ms": 1000 }));
    for store in stores.in_transaction() {
        let [mut one, other, _third] = three(&store).await;
        tokio::select! {
            _ = one.pay("k", &slow) => panic!("{store}: it ended before it was killed"),
            () = patiently(stores.written(&store)) => {}
        }
        one.kill().await;
        assert!(other.effects().await.is_empty(), "{store}");
        let next = other.pay("k", &slow).await;
        assert_eq!(
            (next.status.as_u16(), next.json()["attempt"].as_u64()),
            (201, Some(1)),
            "{store}"
        );
    }
}
