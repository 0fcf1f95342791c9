//! How a transaction claims a key, and what it finds.

use std::time::Duration;

use ::sqlx::postgres::PgRow;
use ::sqlx::{Postgres, Row as _};

use super::PostgresTxStore;
use super::begin::Begin;
use crate::record::digest::Framed;
use crate::record::fingerprint::Fingerprint;
use crate::record::key::StorageKey;
use crate::store::sql::postgres::cancel::Running;
use crate::store::sql::postgres::error::{not_begun, store_error};
use crate::store::sql::postgres::row;
use crate::store::sql::postgres::statement::Value;
use crate::store::sql::tx::{Mark, Open};
use crate::store::{Record, ReserveRequest, StoreError, StoreErrorKind, millis};

/// The result of a transaction that has tried to claim a key.
pub(super) enum Claim {
    /// The key is its own. The record is the one that the attempt takes over, if there is one.
    Mine(Option<Record>),
    /// The same request runs elsewhere.
    SameRuns,
    /// Another request runs under the key. Its fingerprint is not known.
    OtherRuns,
    Found(Record),
    /// The key is free, but the server takes no writes: the response could not be stored.
    ReadOnly,
    /// The key is free, but this role may not write the records.
    MayNotWrite(String),
}

impl PostgresTxStore {
    /// Begins the transaction of an attempt and claims the key in it.
    ///
    /// A serializable transaction must not read the record: see claim.sql. The record is then read
    /// first. The server's default may be serializable too. That is known after the first
    /// transaction, which is rolled back.
    pub(super) async fn claim(
        &self,
        open: Open<Postgres>,
        request: &ReserveRequest,
    ) -> Result<(Open<Postgres>, Claim), StoreError> {
        if self.isolated.is_serializable() {
            return self.read_and_claim(open, request).await;
        }
        let (open, looked) = self.begin_and_look(open, request).await?;
        if !looked.is_serializable {
            return Ok((open, looked.claim(request)));
        }
        let open = open.rollback().await.map_err(not_begun)?;
        self.read_and_claim(open, request).await
    }

    /// The record that is read may have changed when the transaction begins. `complete.sql` and
    /// `settle_apart.sql` judge it again.
    async fn read_and_claim(
        &self,
        mut open: Open<Postgres>,
        request: &ReserveRequest,
    ) -> Result<(Open<Postgres>, Claim), StoreError> {
        open.begun();
        let (inspect, values) = (&self.store.statements.inspect, [Value::key(&request.key)]);
        let patience = Some(patience(self.store.pool.timeout.get()));
        let read = inspect.run_read_committed(open.connection_mut(), patience, &values).await;
        let read = read.map_err(not_begun)?;
        open.ended();
        let read = read.map(|row| row::record(&row)).transpose()?;
        let read = match read {
            Some(found) if !found.yields_to(request) => return Ok((open, Claim::Found(found))),
            read => read,
        };
        let (open, mut looked) = self.begin_and_look(open, request).await?;
        if looked.is_serializable {
            looked.found = read;
        }
        Ok((open, looked.claim(request)))
    }

    async fn begin_and_look(
        &self,
        mut open: Open<Postgres>,
        request: &ReserveRequest,
    ) -> Result<(Open<Postgres>, Looked), StoreError> {
        loop {
            let number = self.number.get();
            let begin = self.begin(request, number);
            open.begin_again(begin.statement(&self.store.names)).await.map_err(not_begun)?;
            let row = match self.look(&mut open, &request.key, begin.of_key).await {
                Ok(row) => row,
                Err(error) => {
                    open.cancel(None).await;
                    return Err(not_begun(error));
                }
            };
            let row = row.ok_or_else(|| StoreError::new(StoreErrorKind::Corrupt))?;
            let looked = Looked::read(&row)?;
            if self.number.learn(number, looked.mark.records) {
                self.isolated.learn(looked.is_serializable);
                open.mark = looked.mark;
                let running = Running { backend: looked.backend, mark: looked.mark.began };
                open.cancel_by(self.canceller.of(&self.store.pool.inner, running));
                return Ok((open, looked));
            }
            open = open.rollback().await.map_err(not_begun)?;
        }
    }

    fn begin(&self, request: &ReserveRequest, number: Option<i64>) -> Begin {
        let [of_key, of_request] = locks(&request.key, request.fingerprint);
        let patience = patience(self.store.pool.timeout.get());
        Begin { clause: self.isolated.clause(), number, of_key, of_request, patience }
    }

    /// Looks for the record of the key, and identifies the transaction.
    async fn look(
        &self,
        open: &mut Open<Postgres>,
        key: &StorageKey,
        of_key: i64,
    ) -> Result<Option<PgRow>, ::sqlx::Error> {
        let values = [Value::key(key), Value::Number(Some(of_key))];
        self.store.statements.claim.run(open.connection_mut(), &values).await
    }
}

/// The numbers of the advisory locks of a key and of a request. The server adds the table.
pub(super) fn locks(key: &StorageKey, fingerprint: Fingerprint) -> [i64; 2] {
    [lock(key, &[]), lock(key, &fingerprint.to_bytes())]
}

/// How long the claim waits for a lock, in milliseconds. The server's setting has a range.
fn patience(timeout: Duration) -> usize {
    const LONGEST: usize = i32::MAX as usize;
    millis(timeout / 4 * 3).clamp(1, LONGEST)
}

fn lock(key: &StorageKey, fingerprint: &[u8]) -> i64 {
    let mut framed = Framed::new("advisory lock 2");
    framed.field(key.as_bytes());
    framed.field(fingerprint);
    let digest = framed.finish(None);
    digest.as_bytes().first_chunk().map_or(0, |first| i64::from_be_bytes(*first))
}

/// The columns of `claim.sql`.
struct Looked {
    /// `same`, `another`, or the lock timeout of the session.
    claim: String,
    backend: i32,
    mark: Mark,
    is_serializable: bool,
    is_read_only: bool,
    /// The role, if it may not write the records.
    forbidden: Option<String>,
    found: Option<Record>,
}

impl Looked {
    fn read(row: &PgRow) -> Result<Self, StoreError> {
        let status: Option<&str> = row.try_get("status").map_err(store_error)?;
        Ok(Self {
            claim: row.try_get("claim").map_err(store_error)?,
            backend: row.try_get("backend").map_err(store_error)?,
            mark: mark(row).map_err(store_error)?,
            is_serializable: row.try_get("serializable").map_err(store_error)?,
            is_read_only: row.try_get("read_only").map_err(store_error)?,
            forbidden: row.try_get("forbidden").map_err(store_error)?,
            found: status.map(|_| row::record(row)).transpose()?,
        })
    }

    fn claim(self, request: &ReserveRequest) -> Claim {
        match (self.found, &*self.claim) {
            (Some(found), _) if !found.yields_to(request) => Claim::Found(found),
            (None, "another") => Claim::OtherRuns,
            // The record under the key belongs to the same request.
            (_, "same" | "another") => Claim::SameRuns,
            _ if self.is_read_only => Claim::ReadOnly,
            (found, _) => match self.forbidden {
                Some(role) => Claim::MayNotWrite(role),
                None => Claim::Mine(found),
            },
        }
    }
}

/// Identifies the transaction, and the table that the name of the records leads to.
pub(super) fn mark(row: &PgRow) -> Result<Mark, ::sqlx::Error> {
    Ok(Mark { began: row.try_get("mark")?, records: row.try_get("records")? })
}
