//! How a transaction claims a key, and what it finds.

use ::sqlx::postgres::PgRow;
use ::sqlx::{AssertSqlSafe, Row as _, SqlSafeStr as _, SqlStr};

use super::super::super::{Record, Reserve, StoreError};
use super::super::error::store_error;
use super::super::row;
use super::PostgresTxStore;
use crate::digest::Framed;
use crate::key::StorageKey;

/// What the transactions of attempts see of one another, as
/// [PostgreSQL](https://www.postgresql.org/docs/current/transaction-iso.html) describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// The default of PostgreSQL, and of this store.
    #[default]
    ReadCommitted,
    /// One snapshot for the whole of an attempt.
    RepeatableRead,
    /// As if attempts ran one after another.
    Serializable,
}

impl PostgresTxStore {
    /// Begins a transaction and claims the key in it, in one round trip. The claim is two advisory locks, of the key and of the
    /// key with the fingerprint: whoever finds the first taken learns from the second whether the same request runs.
    pub(super) fn begin(&self, request: &Reserve) -> SqlStr {
        let isolation = match self.isolation {
            Isolation::ReadCommitted => "READ COMMITTED",
            Isolation::RepeatableRead => "REPEATABLE READ",
            Isolation::Serializable => "SERIALIZABLE",
        };
        let of_key = self.lock(&request.key, &[]);
        let of_request = self.lock(&request.key, &request.fingerprint.to_bytes());
        AssertSqlSafe(format!(
            "BEGIN ISOLATION LEVEL {isolation}; SELECT set_config('idempotency.claim', CASE \
             WHEN pg_try_advisory_xact_lock({of_key}) \
             THEN CASE WHEN pg_try_advisory_xact_lock({of_request}) THEN 'mine' ELSE 'same' END \
             WHEN pg_try_advisory_xact_lock_shared({of_request}) THEN 'another' ELSE 'same' END, true)"
        ))
        .into_sql_str()
    }

    /// The number of an advisory lock: of this table, so that a key in another one is another key.
    pub(super) fn lock(&self, key: &StorageKey, fingerprint: &[u8]) -> i64 {
        let mut framed = Framed::new("advisory lock 1");
        framed.field(self.store.names.to_string().as_bytes());
        framed.field(key.as_bytes());
        framed.field(fingerprint);
        let digest = framed.finish(None);
        digest.as_bytes().first_chunk().map_or(0, |first| i64::from_be_bytes(*first))
    }
}

/// What a transaction that has tried to claim a key found.
pub(super) struct Claim {
    pub(super) is_mine: bool,
    /// Another request runs under the key.
    pub(super) is_another: bool,
    pub(super) mark: i64,
    pub(super) found: Option<Record>,
}

impl Claim {
    pub(super) fn read(row: &PgRow) -> Result<Self, StoreError> {
        let claim: &str = row.try_get("claim").map_err(store_error)?;
        let status: Option<&str> = row.try_get("status").map_err(store_error)?;
        let found = status.map(|_| row::found(row)).transpose()?;
        Ok(Self {
            is_mine: claim == "mine",
            is_another: claim == "another",
            mark: row.try_get("mark").map_err(store_error)?,
            found: found.map(|found| found.record),
        })
    }
}
