//! A row for each effect, in the table `payments` of the file that contains the records.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteRow};
use sqlx::{Error, Row, Sqlite, SqlitePool};
use tower_idempotency::Attempt;
use tower_idempotency::store::TxError;

use super::{Effect, Ledger, Terms, number};

const CONNECTIONS: u32 = 4;
const BUSY: Duration = Duration::from_secs(5);

const INSERT: &str = "INSERT INTO payments (key, scope, attempt, id, at, amount, currency, recipient, order_number) \
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const SELECT: &str = "SELECT key, scope, attempt, id, at, amount, currency, recipient, order_number \
                      FROM payments ORDER BY number";

pub(crate) struct Payments(SqlitePool);

impl Payments {
    /// Creates the table if it is missing. The store has already opened and configured the file.
    pub(crate) async fn open(path: &str) -> Result<Self, Error> {
        // For the reads, and for the few requests that write without a transaction.
        let options = SqliteConnectOptions::new().filename(path).busy_timeout(BUSY);
        let pool =
            SqlitePoolOptions::new().max_connections(CONNECTIONS).connect_with(options).await?;
        sqlx::raw_sql(include_str!("create.sqlite.sql")).execute(&pool).await?;
        Ok(Self(pool))
    }
}

impl Ledger for Payments {
    async fn append(&self, effect: &Effect, attempt: Option<&Attempt>) -> Result<(), Response> {
        let insert = sqlx::query(INSERT)
            .bind(effect.key.as_deref())
            .bind(&effect.scope)
            .bind(i64::from(effect.attempt))
            .bind(&effect.id)
            .bind(number::<_, i64>(effect.at))
            .bind(number::<_, i64>(effect.terms.amount))
            .bind(&effect.terms.currency)
            .bind(&effect.terms.to)
            .bind(effect.terms.order.as_deref());
        let written = match attempt.filter(|attempt| attempt.is_guarded()) {
            Some(attempt) => {
                let mut tx =
                    attempt.transaction::<Sqlite>().map_err(IntoResponse::into_response)?;
                insert.execute(&mut *tx).await
            }
            None => insert.execute(&self.0).await,
        };
        written.map(drop).map_err(rejection)
    }

    async fn effects(&self) -> Result<Vec<Effect>, Response> {
        let rows = sqlx::query(SELECT).fetch_all(&self.0).await.map_err(rejection)?;
        rows.iter().map(effect).collect::<Result<_, _>>().map_err(rejection)
    }
}

fn effect(row: &SqliteRow) -> Result<Effect, Error> {
    Ok(Effect {
        key: row.try_get("key")?,
        scope: row.try_get("scope")?,
        attempt: number(row.try_get::<i64, _>("attempt")?),
        id: row.try_get("id")?,
        at: number(row.try_get::<i64, _>("at")?),
        terms: Terms {
            amount: number(row.try_get::<i64, _>("amount")?),
            currency: row.try_get("currency")?,
            to: row.try_get("recipient")?,
            order: row.try_get("order_number")?,
        },
    })
}

fn rejection(error: Error) -> Response {
    TxError::from(error).into_response()
}
