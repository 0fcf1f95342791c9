//! A reservation: one statement, and a second one to take over what it found.

use super::super::{ErrorKind, Lease, Reservation, Reserve, Status, StoreError, Token};
use super::connection::Connection;
use super::statement::Value;
use super::{PostgresStore, row};

impl PostgresStore {
    /// Creates the record, or takes over the one that stands there, or tells of it.
    pub(super) async fn acquire(
        &self,
        mut connection: Connection,
        request: &Reserve,
        first: Lease,
    ) -> Result<Reservation, StoreError> {
        loop {
            let fingerprint = first.fingerprint.to_bytes();
            let values = wanted(&first, &fingerprint);
            let row = connection.ask(&self.pool, &self.statements.reserve, &values).await?;
            // Whatever came of it, there is a row.
            let row = row.ok_or_else(|| StoreError::new(ErrorKind::Corrupt))?;
            let (next, found, state) = if let Some(token) = row::expired(&row)? {
                (first.clone(), token, "expired")
            } else {
                let record = row::record(&row)?;
                if record.token == first.token {
                    return Ok(Reservation::Acquired(first));
                }
                if !record.yields_to(request) {
                    return Ok(Reservation::Found(record));
                }
                let state = if record.status() == Status::Failed { "failed" } else { "abandoned" };
                (Lease::after(request, first.token, &record), record.token, state)
            };
            if self.take_over(&mut connection, &next, &found, state).await? {
                return Ok(Reservation::Acquired(next));
            }
            // The record has changed in between, and is judged anew; or it is gone, and the key is free.
        }
    }

    /// Replaces the record by that of the next attempt; whether it still was as it was found.
    async fn take_over(
        &self,
        connection: &mut Connection,
        next: &Lease,
        found: &Token,
        state: &str,
    ) -> Result<bool, StoreError> {
        let fingerprint = next.fingerprint.to_bytes();
        let [key, token, fingerprint, lease, retention] = wanted(next, &fingerprint);
        let attempt = Value::Number(Some(next.attempt.into()));
        let seen = [Value::token(found), Value::Text(Some(state))];
        let values = [key, token, fingerprint, lease, retention, attempt, seen[0], seen[1]];
        let row = connection.ask(&self.pool, &self.statements.take_over, &values).await?;
        Ok(row.is_some())
    }
}

/// What a pending record is made of.
fn wanted<'a>(lease: &'a Lease, fingerprint: &'a [u8]) -> [Value<'a>; 5] {
    [
        Value::key(&lease.key),
        Value::token(&lease.token),
        Value::Bytes(Some(fingerprint)),
        Value::time(lease.lease),
        Value::time(lease.retention),
    ]
}
