//! What operators ask of the SQLite store.

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Connection as _, SqlStr};
use tokio::time::Instant;

use super::SqliteStore;
use super::error::store_error;
use super::row::{self, ago, from_now};
use super::wait::Wait;
use super::write::{Statement, ask_all, bind_response};
use crate::record::key::StorageKey;
use crate::store::StoreError;
use crate::store::operator::{
    Intervened, Intervention, ListPage, ListRequest, Shown, Stats, StatsPage,
};
use crate::store::sql::listing::{Dialect, ListValue, Listing, page};

const DIALECT: Dialect = Dialect {
    now: "datetime('now', 'subsec')",
    bytes: |number| format!("?{number}"),
    text: |number| format!("?{number}"),
    ago: |number| format!("datetime('now', 'subsec', ?{number})"),
    time: |number| format!("?{number}"),
    is_time,
};

impl SqliteStore {
    pub(super) async fn listed(&self, request: &ListRequest) -> Result<ListPage, StoreError> {
        let listing = Listing::of(request, &DIALECT)?;
        let text = format!("{}{}", self.statements.info.as_str(), listing.text);
        // Each list has a text of its own, which the connection need not remember.
        let list = sqlx::query(AssertSqlSafe(text)).persistent(false);
        let list = listing.values.into_iter().fold(list, |list, value| match value {
            ListValue::Bytes(bytes) => list.bind(bytes),
            ListValue::Text(text) | ListValue::Time(text) => list.bind(text),
            ListValue::Ago(age) => list.bind(ago(age)),
        });
        let rows = self.read_all(list).await?;
        page(&rows, request, row::listed)
    }

    pub(super) async fn shown(&self, key: &StorageKey) -> Result<Shown, StoreError> {
        let record = self.read_all(of_key(&self.statements.show, key)).await?;
        let history = self.read_all(of_key(&self.statements.history, key)).await?;
        Ok(Shown::new(
            record.first().map(row::info).transpose()?,
            history.iter().filter_map(row::entry).collect(),
        ))
    }

    pub(super) async fn counted(&self) -> Result<StatsPage, StoreError> {
        let mut stats = Stats::default();
        for row in &self.read_all(sqlx::query(self.statements.stats.clone())).await? {
            row::count(row, &mut stats)?;
        }
        Ok(StatsPage::new(stats, None, None))
    }

    /// One transaction, which no other writer comes into.
    pub(super) async fn intervened(&self, change: &Intervention) -> Result<Intervened, StoreError> {
        let wait = self.wait();
        loop {
            // One that got BUSY is rolled back.
            match self.try_intervene(&wait, change).await {
                Ok(intervened) => return Ok(intervened),
                Err(error) => wait.pause(error).await.map_err(|error| self.named(error))?,
            }
        }
    }

    async fn try_intervene(
        &self,
        wait: &Wait,
        change: &Intervention,
    ) -> Result<Intervened, StoreError> {
        let mut connection = self.turn(wait).await?;
        let begun = Instant::now();
        let mut transaction =
            connection.begin_with("BEGIN IMMEDIATE").await.map_err(store_error)?;
        if self.write_change(&mut transaction, change).await.map_err(store_error)? {
            transaction.commit().await.map_err(store_error)?;
            self.streak.taken(begun);
            return Ok(Intervened::Applied);
        }
        let seen = &change.seen.key;
        let made = of_key(&self.statements.intervened, seen).bind(&change.entry.id.as_bytes()[..]);
        if made.fetch_optional(&mut *transaction).await.map_err(store_error)?.is_some() {
            return Ok(Intervened::AlreadyApplied);
        }
        let now = of_key(&self.statements.show, seen).fetch_optional(&mut *transaction).await;
        let now = now.map_err(store_error)?.as_ref().map(row::info).transpose()?;
        Ok(Intervened::Moved(now.map(Box::new)))
    }

    /// Changes the record and writes the entry. Returns whether the record was as the operator saw
    /// it.
    async fn write_change(
        &self,
        connection: &mut SqliteConnection,
        change: &Intervention,
    ) -> Result<bool, sqlx::Error> {
        let Intervention { seen, becomes, entry, audit_retention } = change;
        let of_seen = |statement| {
            of_key(statement, &seen.key)
                .bind(&seen.token.as_bytes()[..])
                .bind(seen.state.status().to_string())
                .bind(seen.attempt)
                .bind(seen.state.word())
        };
        let id = &entry.id.as_bytes()[..];
        let write = match becomes.ended() {
            None => of_seen(&self.statements.free),
            Some((status, outcome, retention)) => bind_response(
                of_seen(&self.statements.settle_by_hand)
                    .bind(id)
                    .bind(status.to_string())
                    .bind(from_now(retention)),
                outcome,
            ),
        };
        if write.execute(&mut *connection).await?.rows_affected() == 0 {
            return Ok(false);
        }
        let note = of_key(&self.statements.note, &seen.key)
            .bind(id)
            .bind(entry.action.word())
            .bind(&entry.by)
            .bind(&entry.reason)
            .bind(&entry.was)
            .bind(entry.attempt)
            .bind(from_now(*audit_retention));
        note.execute(connection).await?;
        Ok(true)
    }

    async fn read_all(&self, read: Statement<'_>) -> Result<Vec<SqliteRow>, StoreError> {
        let wait = self.wait();
        let asked =
            async { ask_all(&mut *wait.connection(&self.reading).await?, &wait, read).await };
        asked.await.map_err(|error| self.named(error))
    }
}

fn of_key<'a>(statement: &SqlStr, key: &'a StorageKey) -> Statement<'a> {
    sqlx::query(statement.clone()).bind(&key.as_bytes()[..])
}

/// As `datetime('now', 'subsec')` writes it.
fn is_time(text: &str) -> bool {
    let form = b"0000-00-00 00:00:00.000";
    let is_as = |(byte, form): (u8, &u8)| match form {
        b'0' => byte.is_ascii_digit(),
        _ => byte == *form,
    };
    text.len() == form.len() && text.bytes().zip(form).all(is_as)
}
