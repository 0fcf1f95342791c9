//! The store for many processes: Redis 6.0 or later, or Valkey; one server, a group under Sentinel,
//! or a cluster. It is tested on Redis 6.2, Redis 7.0 and Valkey 9.1.
//!
//! A first execution takes two round trips: one to reserve the key, one to complete the record. A
//! replay takes one. Three requests need a second one: a request whose key is in flight, the replay
//! of a response whose body is stored apart, and an attempt that takes over a failed or abandoned
//! record.
//!
//! Large bodies pass through a connection of their own, 4 MiB at a time. Callers that read the same
//! body at the same time share one read. So no other command waits behind a body.
//!
//! The lease needs no clock but the server's own. A pending record is written, and renewed, with
//! its whole retention. So its age is its retention less its remaining time. A record that is older
//! than its lease is abandoned. A record whose attempt gave its lease up has a lease of 0, and so has
//! an abandoned record that a released attempt puts back.
//!
//! A large response whose record is gone takes one more round trip, because a body of an earlier
//! write may still be there.
//!
//! # A server that takes no writes
//!
//! | error | cause | new operation | what is stored | running attempt |
//! |---|---|---|---|---|
//! | `OOM` | `maxmemory` | [`Full`](super::StoreErrorKind::Full) | served | renewed; a response up to 2 KiB is stored, a larger one is stored without its body at once |
//! | `MISCONF` | its disk | `Full` | served | renewals are retried, and writes without the body |
//! | `NOREPLICAS` | `min-replicas-to-write` | [`Unavailable`](super::StoreErrorKind::Unavailable) | served | renewals and writes are retried |
//! | `READONLY`, `MASTERDOWN` | it is a replica now | `Unavailable` | not served | the connection is replaced, and writes are retried |
//!
//! Only an outage opens a layer that is set to
//! [`FailOpenRiskingDoubleEffects`](crate::OnOutage::FailOpenRiskingDoubleEffects). `OOM` and
//! `MISCONF` do not, because clients can fill the memory and the disk. These errors do not either:
//!
//! | error | kind |
//! |---|---|
//! | `WRONGTYPE` | [`Corrupt`](super::StoreErrorKind::Corrupt): the name of a record has another use |
//! | `NOPERM`, `NOAUTH`, `WRONGPASS`, an unknown command | [`Configuration`](super::StoreErrorKind::Configuration) |
//! | a certificate that is not trusted (feature `redis-tls-rustls`) | `Configuration` |
//! | before the first connection: TLS, HTTP or PostgreSQL listens at the address, or Redis without TLS | `Configuration` |
//! | any other `ERR` | [`Rejected`](super::StoreErrorKind::Rejected) |
//!
//! Looking for a record writes, so a server that takes no writes rejects it. A second command,
//! which only reads, then finds what is stored. A failed or abandoned attempt that is to run again
//! is a new operation. A demoted primary is left within 1 s; until then requests, replays included,
//! get 503.
//!
//! ```text
//! <prefix><storage key>                       the record: status, token, fingerprint, attempt, response
//! <prefix>body:{<prefix><storage key>}<token> the body of a large response, in the same slot of a cluster
//! <prefix>audit:{<prefix><storage key>}       what operators did, in the same slot
//! ```
//!
//! To look at a record by hand, find it by the digits of the digest that the logs show, and read
//! its second byte:
//!
//! ```text
//! redis-cli --scan --pattern 'idempotency:3fc82ec1*'
//! redis-cli GETRANGE idempotency:3fc82ec1… 1 1        P pending, S success, F failed
//! ```
//!
//! A pending record without renewals is abandoned.
//! [`IdempotencyLayer::inspect`](crate::IdempotencyLayer::inspect) shows it.
#![doc = include_str!("redis/operators.md")]

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use ::redis::Value;
use tokio::time::Instant;

use super::operator::{Cursor, Intervened, Intervention, ListPage, ListRequest, Shown, StatsPage};
use super::timeout::Timeout;
use super::undo::{Undo, Unreplied};
use super::{
    CheckItem, Lease, Record, RecordStatus, Reservation, ReserveRequest, Settlement, State, Store,
    StoreError, StoreErrorKind, Token, millis,
};
use crate::record::key::StorageKey;
use crate::record::outcome::Outcome;
use crate::runtime::deadlines::in_time;

mod address;
mod bodies;
mod check;
mod cluster;
mod commands;
mod connection;
mod create;
mod driver;
mod error;
mod eviction;
mod frame;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod link;
mod lookup;
mod open;
mod operator;
mod place;
mod probe;
mod response;
mod script_error;
mod scripts;
mod sentinel;
mod server;
mod setting;
mod slot_set;
#[cfg(feature = "redis-tls-rustls")]
mod tls;
#[cfg(not(feature = "redis-tls-rustls"))]
#[path = "redis/tls/off.rs"]
mod tls;
mod unreached;
mod url;

use bodies::Bodies;
use commands::{Commands, last};
use connection::Connection;
use error::store_error;
use frame::{HEAD, Pending, START, Stored};
use lookup::Lookup;
use scripts::{Script, text};

/// Stores records in Redis, for any number of processes. A clone is the same store.
///
/// At `maxmemory` new keys are rejected, and what is stored is replayed. A response over 2 KiB is
/// then stored without its body, at once: a retry gets 409 `idempotency_result_not_retained`, and
/// does not run.
///
/// Leave memory free for the responses of the operations that run at the same time, and those
/// responses are stored whole.
///
/// Its promises hold on one server, or one server for each slot of a cluster. Replication is
/// asynchronous: a failover may lose a reservation that was acknowledged, and an operation can then
/// run a second time.
///
/// ```no_run
/// use tower_idempotency::{IdempotencyLayer, RedisStore};
///
/// # async fn set_up() -> Result<(), tower_idempotency::store::StoreError> {
/// let store = RedisStore::open("redis://127.0.0.1:6379")?;
/// let layer = IdempotencyLayer::new(store).namespace("payments");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisStore {
    connection: Connection,
    bodies: Bodies,
    timeout: Timeout,
    prefix: Arc<str>,
    // Learned from the server's first reply.
    before_7: Arc<AtomicBool>,
    unreplied: Arc<Unreplied>,
}

impl RedisStore {
    /// Sets the start of the names of all records. Default: `idempotency:`. Braces are removed,
    /// because they would choose the slot in a cluster.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Self {
        self.prefix = prefix.replace(['{', '}'], "").into();
        // Reservations are undone under the name under which they were made.
        self.unreplied = Arc::new(self.timeout.clone().into());
        self
    }

    /// The name of a record ends with the digest whose first digits the logs show.
    fn name(&self, key: &StorageKey) -> Vec<u8> {
        let mut name = Vec::with_capacity(self.prefix.len() + 64);
        name.extend_from_slice(self.prefix.as_bytes());
        key.push_hex(&mut name);
        name
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Store for RedisStore {
    async fn reserve(&self, request: &ReserveRequest) -> Result<Reservation, StoreError> {
        let first = Lease::first(request, Token::random()?);
        let mut undo = Undo::of(self, &self.unreplied, &first);
        let reply = self.acquire(request, &first, &mut undo).await;
        undo.replied(&reply);
        reply
    }

    async fn complete(
        &self,
        lease: &Lease,
        outcome: &Outcome,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        self.end(RecordStatus::Success, lease, Some(outcome), retention).await
    }

    async fn fail(
        &self,
        lease: &Lease,
        outcome: Option<&Outcome>,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        self.end(RecordStatus::Failed, lease, outcome, retention).await
    }

    async fn release(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        let head = frame::head(RecordStatus::Pending, &lease.token);
        let before =
            lease.put_back().map_or(Vec::new(), |before| frame::encode_put_back(lease, &before));
        self.settle(&scripts::RELEASE, lease, &[&head, &before, &text(millis(lease.retention))])
            .await
    }

    async fn renew(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        let pending = frame::encode_pending(lease, Pending::running(lease));
        let (head, times) = (&pending[..HEAD], &pending[START..]);
        self.settle(&scripts::RENEW, lease, &[head, times, &text(millis(lease.retention))]).await
    }

    async fn inspect(&self, key: &StorageKey) -> Result<Option<Record>, StoreError> {
        let name = self.name(key);
        match self.look(&name).await.map_err(store_error)?.judge()? {
            Some(found) => self.with_body(&name, found).await.map(Some),
            None => Ok(None),
        }
    }

    fn set_timeout(&self, timeout: Duration) {
        self.timeout.raise(timeout);
    }

    fn limits_scopes(&self) -> bool {
        false
    }

    fn opens_transactions(&self) -> bool {
        false
    }

    async fn check(&self) -> Result<Vec<CheckItem>, StoreError> {
        self.look_around().await
    }

    async fn list(&self, request: &ListRequest) -> Result<ListPage, StoreError> {
        self.listed(request).await
    }

    async fn show(&self, key: &StorageKey) -> Result<Shown, StoreError> {
        self.shown(key).await
    }

    async fn intervene(&self, intervention: &Intervention) -> Result<Intervened, StoreError> {
        self.intervened(intervention).await
    }

    async fn stats(&self, after: Option<&Cursor>) -> Result<StatsPage, StoreError> {
        self.counted(after).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let pong = self.connection.send(&Commands::of(&[&[b"PING"]])).await;
        pong.and_then(last::<Value>).map(drop).map_err(store_error)
    }
}

impl RedisStore {
    /// Creates the record, or takes over the existing one, or returns it.
    async fn acquire(
        &self,
        request: &ReserveRequest,
        first: &Lease,
        undo: &mut Undo<'_, Self>,
    ) -> Result<Reservation, StoreError> {
        let begun = Instant::now();
        let name = self.name(&request.key);
        loop {
            let Some(found) = self.create(&name, first).await? else {
                return Ok(Reservation::Acquired(first.clone()));
            };
            let is_whole = found.pending.is_none() && found.missing == 0;
            if is_whole && !found.record.yields_to(request) {
                return Ok(Reservation::Found(found.record));
            }
            // Boxed, because few requests get here, and each would have room for it.
            let acquired = self.acquire_found(&name, found, request, first, undo, begun);
            if let Some(reservation) = Box::pin(acquired).await? {
                return Ok(reservation);
            }
            undo.sends(first);
        }
    }

    /// Takes over the record that was found, or returns it. `None` if it is gone meanwhile, so that
    /// the key is free.
    async fn acquire_found(
        &self,
        name: &[u8],
        mut found: Stored,
        request: &ReserveRequest,
        first: &Lease,
        undo: &mut Undo<'_, Self>,
        begun: Instant,
    ) -> Result<Option<Reservation>, StoreError> {
        if found.pending.is_some() && found.record.token != first.token {
            // The command that found the record does not tell its age, which few requests need.
            found.record.state = State::Pending { abandoned: true };
            if !found.record.yields_to(request) {
                let look = self.look(name).await.map_err(store_error);
                match look.and_then(Lookup::judge).map_err(StoreError::stays_closed)? {
                    Some(look) => found = look,
                    None => return Ok(None),
                }
            }
        }
        loop {
            // The command was sent a second time because its first reply was lost.
            if found.record.token == first.token {
                return Ok(Some(Reservation::Acquired(first.clone())));
            }
            if !found.record.yields_to(request) {
                return self.found(name, found, begun).await.map(Some);
            }
            let next = Lease::after(request, first.token, &found.record);
            undo.sends(&next);
            let taken = self.take_over(name, &found, &next).await;
            // A pending record may be of an attempt that runs.
            let is_pending = found.pending.is_some();
            let taken =
                taken.map_err(|error| if is_pending { error.stays_closed() } else { error });
            let Some(changed) = taken? else {
                return Ok(Some(Reservation::Acquired(next)));
            };
            match changed.judge()? {
                Some(changed) => found = changed,
                None => return Ok(None),
            }
        }
    }

    /// The record that was found, whole. The caller learns that there is one before it gives up:
    /// clients that ask for large bodies can hold up a body, and the operation must not run because
    /// of that.
    async fn found(
        &self,
        name: &[u8],
        found: Stored,
        begun: Instant,
    ) -> Result<Reservation, StoreError> {
        let left = (self.timeout.get() / 16 * 15).saturating_sub(begun.elapsed());
        let late = || Err(StoreError::new(StoreErrorKind::Timeout));
        let record = in_time(left, self.with_body(name, found), late).await;
        record.map(Reservation::Found).map_err(StoreError::stays_closed)
    }

    /// Replaces the record by that of the next attempt, if it has not changed since it was found.
    /// Otherwise returns it as it is now.
    async fn take_over(
        &self,
        name: &[u8],
        found: &Stored,
        next: &Lease,
    ) -> Result<Option<Lookup>, StoreError> {
        let lapsed = found.pending.map(|pending| text(pending.lapsed_at()));
        let lapsed = lapsed.as_deref().unwrap_or_default();
        let pending = frame::encode_pending(next, Pending::running(next));
        let retention = text(millis(next.retention));
        let (taken, frame, left): (bool, Option<Vec<u8>>, i64) = scripts::TAKE_OVER
            .run(&self.connection, None, &[name], &[&found.identity, lapsed, &pending, &retention])
            .await
            .map_err(store_error)?;
        Ok((!taken).then_some(Lookup { frame, left }))
    }

    /// Runs a settling script, which returns whether it applied.
    fn settle<'a>(
        &'a self,
        script: &'static Script,
        lease: &Lease,
        args: &[&[u8]],
    ) -> impl Future<Output = Result<Settlement, StoreError>> + Send + use<'a> {
        let ran = script.run(&self.connection, None, &[&self.name(&lease.key)], args);
        async move {
            match ran.await {
                Ok(true) => Ok(Settlement::Applied),
                Ok(false) => Ok(Settlement::LeaseLost),
                Err(error) => Err(store_error(error)),
            }
        }
    }
}
