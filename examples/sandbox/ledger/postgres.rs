//! A row for each effect, in the table `payments` of the database that the records are in.

use axum::response::{IntoResponse, Response};
use sqlx::postgres::PgRow;
use sqlx::{Error, PgPool, Postgres, Row};
use tower_idempotency::Attempt;
use tower_idempotency::store::TxError;

use super::{Effect, Ledger, number};

pub(crate) struct Payments(PgPool);

impl Payments {
    /// Makes the table if it is missing.
    pub(crate) async fn open(pool: PgPool) -> Result<Self, Error> {
        // Sent as one text, it is one transaction.
        sqlx::raw_sql(include_str!("create.postgres.sql")).execute(&pool).await?;
        Ok(Self(pool))
    }
}

impl Ledger for Payments {
    async fn append(&self, effect: &Effect, attempt: Option<&Attempt>) -> Result<(), Response> {
        let insert =
            sqlx::query("INSERT INTO payments (key, scope, attempt, id, at) VALUES ($1, $2, $3, $4, $5)")
                .bind(effect.key.as_deref())
                .bind(&effect.scope)
                .bind(i64::from(effect.attempt))
                .bind(&effect.id)
                .bind(number::<_, i64>(effect.at));
        let written = match attempt.filter(|attempt| attempt.is_guarded()) {
            Some(attempt) => {
                let mut tx = attempt.transaction::<Postgres>().map_err(IntoResponse::into_response)?;
                insert.execute(&mut *tx).await
            }
            None => insert.execute(&self.0).await,
        };
        written.map(drop).map_err(refused)
    }

    async fn effects(&self) -> Result<Vec<Effect>, Response> {
        let rows = sqlx::query("SELECT key, scope, attempt, id, at FROM payments ORDER BY number");
        let rows = rows.fetch_all(&self.0).await.map_err(refused)?;
        rows.iter().map(effect).collect::<Result<_, _>>().map_err(refused)
    }
}

fn effect(row: &PgRow) -> Result<Effect, Error> {
    Ok(Effect {
        key: row.try_get("key")?,
        scope: row.try_get("scope")?,
        attempt: number(row.try_get::<i64, _>("attempt")?),
        id: row.try_get("id")?,
        at: number(row.try_get::<i64, _>("at")?),
    })
}

fn refused(error: Error) -> Response {
    TxError::from(error).into_response()
}
