//! What the clients were told against what the database holds.

use std::collections::HashMap;

use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use super::clients::Told;
use super::processes::Database;
use crate::support::sandbox::SandboxResponse;

/// A payment: its key, its attempt and its id.
type Row = (String, i64, String);

const PAYMENTS: &str = "SELECT key, attempt, id FROM payments";
const UNSETTLED: &str = "SELECT count(*) FROM idempotency_records WHERE status <> 'success'";

/// Asserts that each key has one row, and that all its responses are the same.
pub(super) async fn audit(told: &Told, database: &Database) {
    let (payments, unsettled) = read(database).await;
    assert_eq!(unsettled, 0, "records without a response");
    let mut rows = HashMap::<String, Vec<(i64, String)>>::new();
    for (key, attempt, id) in payments {
        rows.entry(key).or_default().push((attempt, id));
    }
    for (key, responses) in &told.successes {
        let rows = rows.remove(key).unwrap_or_default();
        let [(attempt, id)] = &rows[..] else {
            panic!("{key} has these payments: {rows:?}");
        };
        let (first, later) = responses.split_first().unwrap();
        let receipt = first.json();
        assert_eq!((&receipt["id"], &receipt["attempt"]), (&json!(id), &json!(attempt)), "{key}");
        for response in later {
            assert!(is_same(response, first), "{key} got the responses {first:?} and {response:?}");
        }
        assert!(
            responses.iter().filter(|response| !response.is_replay()).count() <= 1,
            "{key} was done twice"
        );
        assert!(responses.last().unwrap().is_replay(), "{key}");
    }
    assert!(rows.is_empty(), "payments that no client was told of: {:?}", rows.keys());
}

async fn read(database: &Database) -> (Vec<Row>, i64) {
    match database {
        Database::Postgres(server) => {
            let pool = server.pool();
            let payments = sqlx::query_as(PAYMENTS).fetch_all(&pool).await.unwrap();
            (payments, sqlx::query_scalar(UNSETTLED).fetch_one(&pool).await.unwrap())
        }
        Database::Sqlite(directory) => {
            let options = SqliteConnectOptions::new().filename(directory.path().join("shop.db"));
            let mut connection = options.connect().await.unwrap();
            let payments = sqlx::query_as(PAYMENTS).fetch_all(&mut connection).await.unwrap();
            let unsettled = sqlx::query_scalar(UNSETTLED).fetch_one(&mut connection).await.unwrap();
            connection.close().await.unwrap();
            (payments, unsettled)
        }
    }
}

fn is_same(one: &SandboxResponse, other: &SandboxResponse) -> bool {
    let parts = |response: &SandboxResponse| {
        (response.status, response.body.clone(), response.header("location").map(str::to_owned))
    };
    parts(one) == parts(other)
}

impl Told {
    /// How many responses were compared with a first one.
    pub(super) fn compared(&self) -> usize {
        self.successes.values().map(|responses| responses.len() - 1).sum()
    }
}
