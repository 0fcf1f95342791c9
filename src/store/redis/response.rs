//! Responses, and where their bodies are stored.

use std::time::Duration;

use bytes::Bytes;

use super::commands::{Commands, all, errors};
use super::error::{is_broken, rejected, store_error};
use super::frame::{self, Stored};
use super::scripts::{self, text};
use super::{Connection, RedisStore};
use crate::record::outcome::Outcome;
use crate::runtime::seldom::Seldom;
use crate::store::{
    Lease, Record, RecordStatus, Settlement, State, StoreError, StoreErrorKind, Token, millis,
};

/// Bodies up to this size, in bytes, are stored in their record. A larger one is written apart, in
/// the same round trip, because a server copies several times what passes through a script.
pub(super) const INLINE: usize = 2048;

/// A body outlives its record by the lease and this much, so that no record is without its body.
/// The record may be written later than the body, if the first try has written the body only.
pub(super) const BODY_GRACE: Duration = Duration::from_mins(2);

/// The lowest limit, in bytes, that a server can have for one value (`proto-max-bulk-len`). A
/// server cuts the connection on a longer value, mostly before its reply is read. So does a
/// network, but then no other command succeeds.
const LEAST_LIMIT: usize = 1 << 20;

/// A client can retry a request whose body is lost at any rate.
static LOST_BODY: Seldom = Seldom::new();

/// The script found no body beside the record.
pub(super) const BODY_IS_GONE: &str =
    "the body of the response was evicted at once: is the maxmemory-policy noeviction?";

impl RedisStore {
    /// Ends the attempt and stores its response.
    pub(super) async fn end(
        &self,
        status: RecordStatus,
        lease: &Lease,
        outcome: Option<&Outcome>,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        let body = outcome.map_or(&[][..], Outcome::bytes);
        if body.len() > INLINE {
            // Boxed, because each request would have room for it.
            return Box::pin(self.end_apart(status, lease, outcome, body, retention)).await;
        }
        let settled = {
            let head = frame::head(RecordStatus::Pending, &lease.token);
            let ended = frame::encode_ended(status, lease, outcome, retention, true);
            let ttl = text(millis(retention));
            self.settle(&scripts::SETTLE, lease, &[&head, &ended, &ttl, b""])
        };
        settled.await
    }

    /// The same, with the body under its own name.
    async fn end_apart(
        &self,
        status: RecordStatus,
        lease: &Lease,
        outcome: Option<&Outcome>,
        body: &[u8],
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        let name = self.name(&lease.key);
        let head = frame::head(RecordStatus::Pending, &lease.token);
        let ended = frame::encode_ended(status, lease, outcome, retention, false);
        let ttl = text(millis(retention));
        let body_name = self.body_name(&name, &lease.token);
        let grace = text(millis(retention.saturating_add(lease.lease).saturating_add(BODY_GRACE)));
        // Of two settling writes under one token, only the first one counts, and only its body.
        let apart: [&[u8]; 6] = [b"SET", &body_name, body, b"NX", b"PX", &grace];
        let turn = self.bodies.turn(body.len()).await?;
        let mut body_was_removed: &[u8] = b"";
        loop {
            let args: [&[u8]; 4] = [&head, &ended, &ttl, body_was_removed];
            let names: [&[u8]; 2] = [&name, &body_name];
            match scripts::SETTLE.run(turn.connection, Some(&apart), &names, &args).await {
                Ok(0_u8) => return Ok(Settlement::LeaseLost),
                Ok(1) => return Ok(Settlement::Applied),
                Ok(2) => body_was_removed = b"1",
                Ok(_) => return Err(StoreError::with_source(StoreErrorKind::Full, BODY_IS_GONE)),
                Err(error)
                    if is_broken(&error)
                        && body.len() >= LEAST_LIMIT
                        && is_served(turn.connection).await =>
                {
                    return Err(rejected(error));
                }
                Err(error) => return Err(store_error(error)),
            }
        }
    }

    /// The whole record. A large body is read from its own name.
    pub(super) async fn with_body(&self, name: &[u8], found: Stored) -> Result<Record, StoreError> {
        let Stored { mut record, missing, .. } = found;
        if missing == 0 {
            return Ok(record);
        }
        let body_name = self.body_name(name, &record.token);
        let body = match self.bodies.read(body_name.clone(), missing).await? {
            Some(body) => Some(body),
            None => self.body_beside(name, &body_name, &record).await?,
        };
        let body = body.filter(|body| body.len() == missing);
        if body.is_none() && LOST_BODY.is_due() {
            tracing::error!(
                "the body of a stored response is gone from Redis: a retry gets 409; is the maxmemory-policy noeviction?"
            );
        }
        record.state = match record.state {
            State::Success(outcome) => State::Success(outcome.with_bytes(body)),
            State::Failed(outcome) => {
                State::Failed(outcome.map(|outcome| outcome.with_bytes(body)))
            }
            pending @ State::Pending { .. } => pending,
        };
        Ok(record)
    }

    /// The body on the connection that has found its record. After a failover, the connection for
    /// bodies may still lead to a former primary that does not know that it is one.
    async fn body_beside(
        &self,
        name: &[u8],
        body_name: &[u8],
        record: &Record,
    ) -> Result<Option<Bytes>, StoreError> {
        let both = Commands::of(&[&[b"GETRANGE", name, b"0", b"17"], &[b"GET", body_name]]);
        let (head, body): (Vec<u8>, Option<Vec<u8>>) =
            self.connection.send(&both).await.and_then(all).map_err(store_error)?;
        if body.is_none() && head != frame::head(record.status(), &record.token) {
            // The record is gone too, or it is a server that never had it.
            return Err(StoreError::new(StoreErrorKind::Unavailable));
        }
        Ok(body.map(Bytes::from))
    }

    /// The name of a body. It contains the token, so that a late writer cannot replace the
    /// winner's, and in braces the name of the record, so that both are in one slot of a cluster.
    pub(super) fn body_name(&self, record: &[u8], token: &Token) -> Vec<u8> {
        [self.prefix.as_bytes(), b"body:{", record, b"}", token.as_bytes()].concat()
    }
}

/// Whether the server replies to a small command.
async fn is_served(connection: &Connection) -> bool {
    let reply = connection.send(&Commands::of(&[&[b"PING"]])).await;
    reply.is_ok_and(|replies| errors(&replies).next().is_none())
}
