//! How a transaction claims a key, and what it finds.

use ::sqlx::postgres::PgRow;
use ::sqlx::{AssertSqlSafe, Postgres, Row as _, SqlSafeStr as _, SqlStr};

use super::super::super::tx::Open;
use super::super::super::{Record, Reserve, StoreError, millis};
use super::super::cancel::Running;
use super::super::error::store_error;
use super::super::row;
use super::super::statement::Value;
use super::PostgresTxStore;
use crate::digest::Framed;
use crate::fingerprint::Fingerprint;
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
    /// Begins a transaction and claims the key in it, in one round trip. The claim is two advisory locks: of the key with the
    /// fingerprint, and then of the key. Whoever has the first and finds the second taken knows that another request has
    /// it, for one that is the same would have the first.
    pub(super) fn begin(&self, request: &Reserve) -> SqlStr {
        let isolation = match self.isolation {
            Isolation::ReadCommitted => "READ COMMITTED",
            Isolation::RepeatableRead => "REPEATABLE READ",
            Isolation::Serializable => "SERIALIZABLE",
        };
        let [of_key, of_request] = self.locks(&request.key, request.fingerprint);
        let patience = millis(self.store.pool.timeout.get() * 3 / 4).max(1);
        AssertSqlSafe(format!(
            "BEGIN ISOLATION LEVEL {isolation}; SELECT set_config('idempotency.claim', CASE \
             WHEN NOT pg_try_advisory_xact_lock({of_request}) THEN 'same' \
             WHEN pg_try_advisory_xact_lock({of_key}) THEN 'mine' ELSE 'another' END, true), \
             set_config('idempotency.lock_timeout', current_setting('lock_timeout'), true), \
             set_config('lock_timeout', '{patience}', true)"
        ))
        .into_sql_str()
    }

    /// What stands under the key, and which transaction this is.
    pub(super) async fn look(
        &self,
        open: &mut Open<Postgres>,
        key: &StorageKey,
        fingerprint: Fingerprint,
    ) -> Result<Option<PgRow>, ::sqlx::Error> {
        let [of_key, _] = self.locks(key, fingerprint);
        let values = [Value::key(key), Value::Number(Some(of_key))];
        self.store.statements.claim.run(open.connection_mut(), &values).await
    }

    /// The numbers of the advisory locks of a key and of a request.
    pub(super) fn locks(&self, key: &StorageKey, fingerprint: Fingerprint) -> [i64; 2] {
        [self.lock(key, &[]), self.lock(key, &fingerprint.to_bytes())]
    }

    /// The number of an advisory lock: of this table, so that a key in another one is another key.
    fn lock(&self, key: &StorageKey, fingerprint: &[u8]) -> i64 {
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
    pub(super) running: Running,
    pub(super) found: Option<Record>,
}

impl Claim {
    pub(super) fn read(row: &PgRow) -> Result<Self, StoreError> {
        let claim: &str = row.try_get("claim").map_err(store_error)?;
        let status: Option<&str> = row.try_get("status").map_err(store_error)?;
        let found = status.map(|_| row::record(row)).transpose()?;
        Ok(Self {
            is_mine: claim == "mine",
            is_another: claim == "another",
            running: Running {
                backend: row.try_get("backend").map_err(store_error)?,
                mark: row.try_get("mark").map_err(store_error)?,
            },
            found,
        })
    }
}
