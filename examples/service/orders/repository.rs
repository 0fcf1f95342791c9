//! The statements. Each function takes a connection, so it works in every transaction.

use std::future::Future;

use sqlx::{
    Database, Error, PgConnection, Postgres, Sqlite, SqliteConnection, query, query_scalar,
};

// Both databases read this SQL.
const INSERT: &str =
    "INSERT INTO orders (account, item, quantity) VALUES ($1, $2, $3) RETURNING id";
const TAKE: &str = "UPDATE stock SET quantity = quantity - $2 WHERE item = $1 AND quantity >= $2";

pub(crate) trait Repository: Database {
    /// Writes an order and takes its items out of the stock. `None` if not so many are left.
    fn place(
        connection: &mut Self::Connection,
        account: i64,
        item: &str,
        quantity: u16,
    ) -> impl Future<Output = Result<Option<i64>, Error>> + Send;
}

impl Repository for Postgres {
    async fn place(
        connection: &mut PgConnection,
        account: i64,
        item: &str,
        quantity: u16,
    ) -> Result<Option<i64>, Error> {
        let quantity = i32::from(quantity);
        let insert = query_scalar(INSERT).bind(account).bind(item).bind(quantity);
        let id = insert.fetch_one(&mut *connection).await?;
        let taken = query(TAKE).bind(item).bind(quantity).execute(connection).await?;
        Ok((taken.rows_affected() == 1).then_some(id))
    }
}

impl Repository for Sqlite {
    async fn place(
        connection: &mut SqliteConnection,
        account: i64,
        item: &str,
        quantity: u16,
    ) -> Result<Option<i64>, Error> {
        let quantity = i32::from(quantity);
        let insert = query_scalar(INSERT).bind(account).bind(item).bind(quantity);
        let id = insert.fetch_one(&mut *connection).await?;
        let taken = query(TAKE).bind(item).bind(quantity).execute(connection).await?;
        Ok((taken.rows_affected() == 1).then_some(id))
    }
}
