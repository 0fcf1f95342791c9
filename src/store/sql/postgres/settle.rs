//! How an attempt ends: its response is stored, or the record that it found is restored.

use std::time::Duration;

use super::PostgresStore;
use super::connection::Connection;
use super::statement::{Statement, Value};
use crate::record::outcome::Outcome;
use crate::store::sql::table::{LabelColumns, ResponseColumns};
use crate::store::{Lease, RecordStatus, Settlement, State, StoreError};

impl PostgresStore {
    /// Ends the attempt and stores its response. If the record is gone, it is written anew.
    pub(super) async fn end(
        &self,
        status: RecordStatus,
        lease: &Lease,
        outcome: Option<&Outcome>,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        let status = status.to_string();
        let response = outcome.map(ResponseColumns::of);
        let mut values = ended(lease, &status, retention, response.as_ref());
        let mut connection = Connection::take(&self.pool).await?;
        if connection.ask(&self.statements.settle, &values).await?.is_some() {
            return Ok(Settlement::Applied);
        }
        let (fingerprint, label) = (lease.fingerprint.to_bytes(), LabelColumns::of(lease));
        values
            .extend([Value::Bytes(Some(&fingerprint)), Value::Number(Some(lease.attempt.into()))]);
        values.extend(Value::label(&label));
        let row = connection.ask(&self.statements.write_anew, &values).await?;
        Ok(settlement(row.is_some()))
    }

    /// Restores what a released attempt found: no record, or the one that it took over.
    pub(super) async fn leave(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        let Some(before) = lease.put_back() else {
            let values = [Value::key(&lease.key), Value::token(&lease.token)];
            return self.settle(&self.statements.release, &values).await;
        };
        let status = before.status().to_string();
        let response = match &before.state {
            State::Failed(outcome) => outcome.as_ref().map(ResponseColumns::of),
            State::Pending { .. } | State::Success(_) => None,
        };
        let mut values = ended(lease, &status, lease.retention, response.as_ref());
        values.extend([Value::Number(Some(before.attempt.into())), Value::token(&before.token)]);
        self.settle(&self.statements.put_back, &values).await
    }

    /// Runs a settling statement, which returns a row if it applied.
    pub(super) async fn settle(
        &self,
        statement: &Statement,
        values: &[Value<'_>],
    ) -> Result<Settlement, StoreError> {
        Ok(settlement(self.ask(statement, values).await?.is_some()))
    }
}

fn settlement(is_applied: bool) -> Settlement {
    if is_applied { Settlement::Applied } else { Settlement::LeaseLost }
}

/// The first ten values of every statement that writes how an attempt has ended.
pub(super) fn ended<'a>(
    lease: &'a Lease,
    status: &'a str,
    retention: Duration,
    response: Option<&'a ResponseColumns>,
) -> Vec<Value<'a>> {
    let (key, token) = (Value::key(&lease.key), Value::token(&lease.token));
    let mut values = vec![key, token, Value::Text(Some(status)), Value::time(retention)];
    values.extend(Value::response(response));
    values
}
