//! What operators ask of the store.

use bytes::Bytes;

use super::RedisStore;
use super::commands::{Commands, all};
use super::error::store_error;
use super::frame::{self, Glance};
use super::response::{BODY_GRACE, BODY_IS_GONE, INLINE};
use super::scripts::{self, text};
use crate::record::key::StorageKey;
use crate::record::outcome::Outcome;
use crate::runtime::seldom::Seldom;
use crate::store::operator::{AuditEntry, History, Intervened, Intervention, RecordInfo, Shown};
use crate::store::{StoreError, StoreErrorKind, millis};

pub(super) mod audit;
mod list;
mod place;
mod scan;

/// Another version of the crate, or another program, can have written any number of them.
static UNREADABLE: Seldom = Seldom::new();

/// What there is of a key.
struct Known {
    /// The record, and its remaining time in milliseconds.
    record: Option<(Glance, i64)>,
    /// The audit entries as they are stored.
    entries: Vec<Bytes>,
}

/// What became of the attempt to change a record.
enum Change {
    Applied,
    AlreadyApplied,
    /// It is another one since it was read.
    Moved,
    /// The new body is not there.
    NoBody,
}

impl RedisStore {
    pub(super) async fn shown(&self, key: &StorageKey) -> Result<Shown, StoreError> {
        let Known { record, entries } = self.known(&self.name(key)).await?;
        let record = record.map(|(found, left)| found.info(*key, left));
        Ok(Shown::new(record, history(entries)))
    }

    /// Changes the record if it is as the operator saw it. If it changes between the look and the
    /// write, it is judged anew.
    pub(super) async fn intervened(
        &self,
        intervention: &Intervention,
    ) -> Result<Intervened, StoreError> {
        let seen = &intervention.seen;
        let name = self.name(&seen.key);
        let mut body_was_gone = false;
        loop {
            let Known { record, entries } = self.known(&name).await?;
            let now = record.map(|(found, left)| (found.info(seen.key, left), found));
            let (now, found) = match now {
                Some((now, found)) if now.is_as_seen(seen) => (now, found),
                now => {
                    let is_known = |entry: &Bytes| audit::is_of(entry, &intervention.entry.id);
                    return Ok(if entries.iter().any(is_known) {
                        Intervened::AlreadyApplied
                    } else {
                        Intervened::Moved(now.map(|(now, _)| now.into()))
                    });
                }
            };
            match self.change(&name, &found, &now, intervention).await? {
                Change::Applied => return Ok(Intervened::Applied),
                Change::AlreadyApplied => return Ok(Intervened::AlreadyApplied),
                Change::Moved => {}
                Change::NoBody if body_was_gone => {
                    return Err(StoreError::with_source(StoreErrorKind::Full, BODY_IS_GONE));
                }
                Change::NoBody => body_was_gone = true,
            }
        }
    }

    /// Reads the record and its history, in one round trip.
    async fn known(&self, name: &[u8]) -> Result<Known, StoreError> {
        let history = self.history_name(name);
        let commands: [&[&[u8]]; 3] =
            [&[b"GET", name], &[b"PTTL", name], &[b"LRANGE", &history, b"0", b"-1"]];
        let replies = self.connection.send(&Commands::of(&commands)).await;
        let (frame, left, entries): (Option<Vec<u8>>, i64, Vec<Vec<u8>>) =
            replies.and_then(all).map_err(store_error)?;
        let record = frame.map(|frame| Glance::of(frame.into())).transpose();
        let record = record
            .map_err(|malformed| StoreError::with_source(StoreErrorKind::Corrupt, malformed))?;
        let entries = entries.into_iter().map(Bytes::from).collect();
        Ok(Known { record: record.map(|record| (record, left)), entries })
    }

    /// Changes the record if it is still the one that was found.
    async fn change(
        &self,
        name: &[u8],
        found: &Glance,
        now: &RecordInfo,
        intervention: &Intervention,
    ) -> Result<Change, StoreError> {
        let Intervention { seen, becomes, entry, audit_retention } = intervention;
        let (identity, lapsed) = found.identity(seen.state);
        let lapsed = lapsed.map(text);
        let ended = becomes.ended();
        let body = ended.and_then(|(_, outcome, _)| outcome).map_or(&[][..], Outcome::bytes);
        let is_apart = body.len() > INLINE;
        let record = ended.map(|(status, outcome, retention)| {
            frame::encode_settled(status, now, entry.id, outcome, retention, !is_apart)
        });
        let retention = ended.map(|(.., retention)| text(millis(retention)));
        let (audit, size, stays) =
            (audit::encode(entry), text(body.len()), text(millis(*audit_retention)));
        let args: [&[u8]; 7] = [
            identity,
            lapsed.as_deref().unwrap_or_default(),
            record.as_deref().unwrap_or_default(),
            retention.as_deref().unwrap_or_default(),
            &size,
            &audit,
            &stays,
        ];
        let history = self.history_name(name);
        let bodies = [self.body_name(name, &now.token), self.body_name(name, &entry.id)];
        let names: [&[u8]; 4] = [name, &history, &bodies[0], &bodies[1]];
        let changed: u8 = match ended {
            Some((.., retention)) if is_apart => {
                let grace = text(millis(retention.saturating_add(BODY_GRACE)));
                let apart: [&[u8]; 6] = [b"SET", &bodies[1], body, b"NX", b"PX", &grace];
                let turn = self.bodies.turn(body.len()).await?;
                scripts::INTERVENE.run(turn.connection, Some(&apart), &names, &args).await
            }
            _ => scripts::INTERVENE.run(&self.connection, None, &names[..3], &args).await,
        }
        .map_err(store_error)?;
        Ok(match changed {
            0 => Change::Moved,
            1 => Change::Applied,
            2 => Change::AlreadyApplied,
            _ => Change::NoBody,
        })
    }

    /// The name of a history. It has the name of the record in braces, so that both are in one slot
    /// of a cluster.
    fn history_name(&self, record: &[u8]) -> Vec<u8> {
        [self.prefix.as_bytes(), b"audit:{", record, b"}"].concat()
    }
}

/// The entries that this version can read.
fn history(entries: Vec<Bytes>) -> History {
    let read = |entry| match audit::decode(entry) {
        Ok(entry) => Some(entry),
        Err(malformed) => {
            if UNREADABLE.is_due() {
                tracing::error!(
                    "an audit entry is left out: {malformed}; another version may have written it"
                );
            }
            None::<AuditEntry>
        }
    };
    entries.into_iter().filter_map(read).collect()
}
