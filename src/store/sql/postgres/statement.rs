//! One statement, and the two ways to send it.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use ::sqlx::postgres::PgRow;
use ::sqlx::{AssertSqlSafe, PgConnection};

use crate::record::key::StorageKey;
use crate::store::sql::table::{LabelColumns, ResponseColumns};
use crate::store::{Lease, Token, millis};

/// A statement with the names in their places. It returns one row at most.
pub(super) struct Statement {
    sql: Arc<str>,
    prepared: bool,
    knows_itself: bool,
}

/// The value of a parameter.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Bytes(Option<&'a [u8]>),
    Text(Option<&'a str>),
    Number(Option<i64>),
}

impl Statement {
    /// Reads a file. Its comments are not sent.
    pub(super) fn new(source: &str, records: &str, prepared: bool) -> Self {
        let lines: Vec<_> = source.lines().filter(|line| !line.starts_with("--")).collect();
        Self {
            sql: lines.join("\n").replace("{records}", records).into(),
            prepared,
            knows_itself: true,
        }
    }

    /// A statement that does not recognize its own work. Sent a second time, it would return
    /// something else.
    pub(super) fn once(self) -> Self {
        Self { knows_itself: false, ..self }
    }

    /// The same statement with this text behind it.
    pub(super) fn followed_by(&self, more: &str) -> Self {
        Self { sql: format!("{}\n{more}", self.sql).into(), ..*self }
    }

    pub(super) fn knows_itself(&self) -> bool {
        self.knows_itself
    }

    pub(super) async fn run(
        &self,
        connection: &mut PgConnection,
        values: &[Value<'_>],
    ) -> Result<Option<PgRow>, ::sqlx::Error> {
        if !self.prepared {
            let text = AssertSqlSafe(self.text(values));
            return ::sqlx::raw_sql(text).fetch_optional(connection).await;
        }
        // The connection remembers the statement by its text, so the server parses it only once.
        let mut query = ::sqlx::query(AssertSqlSafe(Arc::clone(&self.sql)));
        for value in values {
            query = match *value {
                Value::Bytes(bytes) => query.bind(bytes),
                Value::Text(text) => query.bind(text),
                Value::Number(number) => query.bind(number),
            };
        }
        query.fetch_optional(connection).await
    }

    /// Runs the statement as read committed, whatever the default isolation is. Serializable
    /// transactions then do not conflict with it. It waits for locks for so many milliseconds, or
    /// as the session says. The server takes one text as one transaction, which an error ends.
    pub(super) async fn run_read_committed(
        &self,
        connection: &mut PgConnection,
        lock_timeout: Option<usize>,
        values: &[Value<'_>],
    ) -> Result<Option<PgRow>, ::sqlx::Error> {
        let wait = lock_timeout.map(|millis| format!("SET LOCAL lock_timeout = {millis}; "));
        let (wait, statement) = (wait.unwrap_or_default(), self.text(values));
        let text = format!("SET TRANSACTION ISOLATION LEVEL READ COMMITTED; {wait}{statement}");
        let mut rows = ::sqlx::raw_sql(AssertSqlSafe(text)).fetch_all(connection).await?;
        Ok(rows.pop())
    }

    /// Runs a statement that reads any number of rows, also on a standby. It is read committed, so
    /// that no serializable transaction conflicts with it. The planner sees the values.
    pub(super) async fn run_all(
        &self,
        connection: &mut PgConnection,
        values: &[Value<'_>],
    ) -> Result<Vec<PgRow>, ::sqlx::Error> {
        let statement = self.text(values);
        let text =
            format!("SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY; {statement}");
        ::sqlx::raw_sql(AssertSqlSafe(text)).fetch_all(connection).await
    }

    /// The statement with the values written into it, for the simple protocol.
    pub(super) fn text(&self, values: &[Value<'_>]) -> String {
        let mut parts = self.sql.split('$');
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (number, rest) = part.split_at(digits);
            let value =
                number.parse().ok().and_then(|number: usize| values.get(number.checked_sub(1)?));
            if let Some(value) = value {
                value.write(&mut text);
            }
            text.push_str(rest);
        }
        text
    }
}

impl<'a> Value<'a> {
    pub(super) fn key(key: &'a StorageKey) -> Self {
        Self::Bytes(Some(key.as_bytes()))
    }

    pub(super) fn token(token: &'a Token) -> Self {
        Self::Bytes(Some(token.as_bytes()))
    }

    /// The columns of a response, in the order of the parameters.
    pub(super) fn response(response: Option<&'a ResponseColumns>) -> [Self; 6] {
        [
            Self::Number(response.map(|response| response.status.into())),
            Self::Bytes(response.map(|response| &*response.headers)),
            Self::Bytes(response.and_then(|response| response.trailers.as_deref())),
            Self::Text(response.and_then(|response| response.request_id.as_deref())),
            Self::Bytes(response.and_then(|response| response.body.as_deref())),
            Self::Text(response.and_then(|response| response.missing.as_deref())),
        ]
    }

    /// The columns of a label, in the order of the parameters.
    pub(super) fn label(label: &'a LabelColumns<'_>) -> [Self; 3] {
        [
            Self::Text(label.namespace.as_deref()),
            Self::Text(label.route.as_deref()),
            Self::Bytes(label.scope),
        ]
    }

    /// In milliseconds.
    pub(super) fn time(duration: Duration) -> Self {
        Self::millis(millis(duration))
    }

    /// The time until a renewed lease lapses.
    pub(super) fn lease(lease: &Lease) -> Self {
        Self::millis(lease.lease_millis())
    }

    fn millis(millis: usize) -> Self {
        Self::Number(Some(i64::try_from(millis).unwrap_or(i64::MAX)))
    }

    /// No value can become a part of the statement, because it is written in hexadecimal or decimal
    /// digits only.
    fn write(self, text: &mut String) {
        match self {
            Self::Bytes(Some(bytes)) => {
                write_hex(bytes, text);
            }
            Self::Text(Some(value)) => {
                text.push_str("convert_from(");
                write_hex(value.as_bytes(), text);
                text.push_str(", 'UTF8')");
            }
            Self::Number(Some(number)) => {
                // In parentheses, because a cast binds closer than a sign.
                let _ = write!(text, "({number})");
            }
            Self::Bytes(None) | Self::Text(None) | Self::Number(None) => text.push_str("NULL"),
        }
    }
}

/// Without a backslash, whose meaning in a literal is a setting of the session.
fn write_hex(bytes: &[u8], text: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    text.reserve(bytes.len() * 2 + 16);
    text.push_str("decode('");
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text.push_str("', 'hex')");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_in_digits_only() {
        let statement =
            Statement::new("-- $1 a comment\nSELECT $1::bytea, $2::text, $10", "", false);
        let mut values = [Value::Number(None); 10];
        values[0] = Value::Bytes(Some(b"a'\\"));
        values[1] = Value::Text(Some("b$1'"));
        values[9] = Value::Number(Some(-7));
        assert_eq!(
            statement.text(&values),
            "SELECT decode('61275c', 'hex')::bytea, convert_from(decode('62243127', 'hex'), 'UTF8')::text, (-7)"
        );
        assert_eq!(
            statement.text(&[Value::Bytes(None); 10]),
            "SELECT NULL::bytea, NULL::text, NULL"
        );
    }
}
