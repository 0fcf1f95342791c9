//! What operators ask of the PostgreSQL store.

use ::sqlx::postgres::PgRow;

use super::connection::Connection;
use super::error::{code, source_of};
use super::named::Quoted;
use super::statement::{Statement, Value};
use super::{PostgresStore, row};
use crate::record::key::StorageKey;
use crate::store::operator::{
    Intervened, Intervention, ListPage, ListRequest, Shown, Stats, StatsPage,
};
use crate::store::sql::listing::{Dialect, ListValue, Listing, page};
use crate::store::sql::table::ResponseColumns;
use crate::store::{StoreError, StoreErrorKind};

/// In microseconds since 1970. The server has later times, and fewer than there are numbers.
const LATEST: i64 = 9_000_000_000_000_000_000;

const DIALECT: Dialect = Dialect {
    now: "statement_timestamp()",
    bytes: |number| format!("${number}::bytea"),
    text: |number| format!("${number}::text"),
    ago: |number| format!("statement_timestamp() - ${number}::bigint * interval '1 ms'"),
    time: |number| format!("timestamptz 'epoch' + ${number}::bigint * interval '1 us'"),
    is_time: |time| time.parse().is_ok_and(|micros: i64| (0..LATEST).contains(&micros)),
};

impl PostgresStore {
    pub(super) async fn listed(&self, request: &ListRequest) -> Result<ListPage, StoreError> {
        let listing = Listing::of(request, &DIALECT)?;
        let values: Vec<_> = listing.values.iter().map(value).collect();
        let info = self.statements.info.followed_by(&listing.text);
        let rows = self.read(&info, &values).await?;
        page(&rows, request, row::listed)
    }

    pub(super) async fn shown(&self, key: &StorageKey) -> Result<Shown, StoreError> {
        let statements = &self.statements;
        let record = self.read(&statements.show, &[Value::key(key)]).await?;
        let history = self.read(&statements.history, &[Value::key(key)]).await?;
        Ok(Shown::new(
            record.first().map(row::info).transpose()?,
            history.iter().filter_map(row::entry).collect(),
        ))
    }

    pub(super) async fn counted(&self) -> Result<StatsPage, StoreError> {
        let mut stats = Stats::default();
        for row in &self.read(&self.statements.stats, &[]).await? {
            row::count(row, &mut stats)?;
        }
        Ok(StatsPage::new(stats, None, None))
    }

    /// One statement. If it changes nothing, two more tell why. Sent again, it finds its own entry.
    pub(super) async fn intervened(&self, change: &Intervention) -> Result<Intervened, StoreError> {
        let Intervention { seen, becomes, entry, audit_retention } = change;
        let status = seen.state.status().to_string();
        let mut values = vec![
            Value::key(&seen.key),
            Value::token(&seen.token),
            Value::Text(Some(&status)),
            Value::Number(Some(seen.attempt.into())),
            Value::Text(Some(seen.state.word())),
            Value::token(&entry.id),
            Value::Text(Some(entry.action.word())),
            Value::Text(Some(&entry.by)),
            Value::Text(Some(&entry.reason)),
            Value::Text(Some(&entry.was)),
            Value::Number(Some(entry.attempt.into())),
            Value::time(*audit_retention),
        ];
        let applied = match becomes.ended() {
            None => self.ask(&self.statements.free, &values).await,
            Some((status, outcome, retention)) => {
                let (status, response) = (status.to_string(), outcome.map(ResponseColumns::of));
                values.extend([Value::Text(Some(&status)), Value::time(retention)]);
                values.extend(Value::response(response.as_ref()));
                self.ask(&self.statements.settle_by_hand, &values).await
            }
        };
        if applied.map_err(|error| self.of_operator(error))?.is_some() {
            return Ok(Intervened::Applied);
        }
        let made = [Value::key(&seen.key), Value::token(&entry.id)];
        if !self.read(&self.statements.intervened, &made).await?.is_empty() {
            return Ok(Intervened::AlreadyApplied);
        }
        let now = self.read(&self.statements.show, &made[..1]).await?;
        Ok(Intervened::Moved(now.first().map(row::info).transpose()?.map(Box::new)))
    }

    /// Reads any number of rows. It is not sent again, because an operator does so.
    async fn read(
        &self,
        statement: &Statement,
        values: &[Value<'_>],
    ) -> Result<Vec<PgRow>, StoreError> {
        let read =
            async { Connection::take_tested(&self.pool).await?.read_all(statement, values).await };
        read.await.map_err(|error| self.of_operator(error))
    }

    /// The same error, with what operators need beyond what the service needs.
    fn of_operator(&self, error: StoreError) -> StoreError {
        let Some("42501" | "42P01" | "42703") = source_of(&error).map(code) else {
            return self.named(error);
        };
        let options = self.pool.inner.connect_options();
        let (records, audit) = (&self.names, self.names.audit());
        let role = Quoted(options.get_username());
        let schema = self.names.schema.as_ref();
        let usage = schema.map(|schema| format!("GRANT USAGE ON SCHEMA {schema} TO {role}; "));
        error.of_kind(StoreErrorKind::Configuration).detail(format!(
            "the role {role} may not do what an operator does, or `PostgresStore::migrate` of this \
             version has not been run: {}GRANT SELECT, UPDATE, DELETE ON {records} TO {role}; GRANT \
             SELECT, INSERT ON {audit} TO {role}",
            usage.unwrap_or_default(),
        ))
    }
}

fn value(value: &ListValue) -> Value<'_> {
    match value {
        ListValue::Bytes(bytes) => Value::Bytes(Some(bytes)),
        ListValue::Text(text) => Value::Text(Some(text)),
        ListValue::Ago(age) => Value::time(*age),
        // Digits, as `info.sql` returns them.
        ListValue::Time(time) => Value::Number(time.parse().ok()),
    }
}
