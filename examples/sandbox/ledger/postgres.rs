//! A row for each effect, in the table `payments` of the database that contains the records.

use axum::response::{IntoResponse, Response};
use sqlx::postgres::PgRow;
use sqlx::{Error, PgPool, Postgres, Row};
use tower_idempotency::Attempt;
use tower_idempotency::store::TxError;

use super::{Effect, Ledger, Terms, number};

const INSERT: &str = "INSERT INTO payments (key, scope, attempt, id, at, amount, currency, recipient, order_number) \
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const SELECT: &str = "SELECT key, scope, attempt, id, at, amount, currency, recipient, order_number \
                      FROM payments ORDER BY number";

pub(crate) struct Payments(PgPool);

impl Payments {
    /// Creates the table if it is missing.
    pub(crate) async fn open(pool: PgPool) -> Result<Self, Error> {
        // The whole text is one transaction.
        sqlx::raw_sql(include_str!("create.postgres.sql")).execute(&pool).await?;
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
                    attempt.transaction::<Postgres>().map_err(IntoResponse::into_response)?;
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

fn effect(row: &PgRow) -> Result<Effect, Error> {
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
