//! A reservation: one statement, and a second one to take over what it found.

use super::connection::Connection;
use super::statement::Value;
use super::{PostgresStore, row};
use crate::store::sql::table::LabelColumns;
use crate::store::undo::Undo;
use crate::store::{
    Lease, RecordStatus, Reservation, ReserveRequest, Store as _, StoreError, StoreErrorKind, Token,
};

impl PostgresStore {
    /// Creates the record, or takes over the existing one, or returns it.
    pub(super) async fn acquire(
        &self,
        mut connection: Connection<'_>,
        request: &ReserveRequest,
        first: Lease,
        undo: &mut Undo<'_, Self>,
    ) -> Result<Reservation, StoreError> {
        loop {
            undo.sends(&first);
            let fingerprint = first.fingerprint.to_bytes();
            let label = LabelColumns::of(&first);
            let [key, token, fingerprint, lease, retention] = wanted(&first, &fingerprint);
            let [namespace, route, scope] = Value::label(&label);
            let values = [key, token, fingerprint, lease, retention, namespace, route, scope];
            let row = connection.ask(&self.statements.reserve, &values).await?;
            // There is a row in each case.
            let row = row.ok_or_else(|| StoreError::new(StoreErrorKind::Corrupt))?;
            let (next, found) = if let Some(token) = row::expired(&row)? {
                (first.clone(), Found { token, state: "expired", attempt: None })
            } else {
                let record = row::record(&row)?;
                if record.token == first.token {
                    return Ok(Reservation::Acquired(first));
                }
                if !record.yields_to(request) {
                    return Ok(Reservation::Found(record));
                }
                let state =
                    if record.status() == RecordStatus::Failed { "failed" } else { "abandoned" };
                let found =
                    Found { token: record.token, state, attempt: Some(record.attempt.into()) };
                (Lease::after(request, first.token, &record), found)
            };
            undo.sends(&next);
            if self.take_over(&mut connection, &next, &found).await? {
                return Ok(Reservation::Acquired(next));
            }
            // The record has changed meanwhile and is judged again, or it is gone and the key is
            // free.
        }
    }

    /// Serves what is stored also when the server takes no writes: it is read-only, or its disk is
    /// full.
    pub(super) async fn stored(
        &self,
        request: &ReserveRequest,
        rejected: StoreError,
    ) -> Result<Reservation, StoreError> {
        match self.inspect(&request.key).await {
            Ok(Some(found)) if !found.yields_to(request) => Ok(Reservation::Found(found)),
            Ok(_) | Err(_) => Err(rejected),
        }
    }

    /// Replaces the record by that of the next attempt. Returns whether it had not changed since it
    /// was found.
    async fn take_over(
        &self,
        connection: &mut Connection<'_>,
        next: &Lease,
        found: &Found,
    ) -> Result<bool, StoreError> {
        let fingerprint = next.fingerprint.to_bytes();
        let [key, token, fingerprint, lease, retention] = wanted(next, &fingerprint);
        let attempt = Value::Number(Some(next.attempt.into()));
        let [seen, state, last] = [
            Value::token(&found.token),
            Value::Text(Some(found.state)),
            Value::Number(found.attempt),
        ];
        let label = LabelColumns::of(next);
        let [namespace, route, scope] = Value::label(&label);
        let values = [
            key,
            token,
            fingerprint,
            lease,
            retention,
            attempt,
            seen,
            state,
            last,
            namespace,
            route,
            scope,
        ];
        let row = connection.ask(&self.statements.take_over, &values).await?;
        Ok(row.is_some())
    }
}

/// Identifies the record that was found. A take-over applies only while it is still the same.
struct Found {
    token: Token,
    state: &'static str,
    /// A released attempt puts its record back under the old token, with a higher number.
    attempt: Option<i64>,
}

/// The values of a pending record.
fn wanted<'a>(lease: &'a Lease, fingerprint: &'a [u8]) -> [Value<'a>; 5] {
    [
        Value::key(&lease.key),
        Value::token(&lease.token),
        Value::Bytes(Some(fingerprint)),
        Value::time(lease.lease),
        Value::time(lease.retention),
    ]
}
