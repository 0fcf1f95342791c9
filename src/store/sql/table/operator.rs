//! Rows as operators see them: a record without its response, an audit entry, a count.

use std::time::{Duration, SystemTime};

use http::StatusCode;

use super::label::{label, scope};
use crate::record::fingerprint::Fingerprint;
use crate::record::frame::DecodeError;
use crate::record::key::StorageKey;
use crate::record::outcome::{Kind, NotRetained};
use crate::runtime::seldom::Seldom;
use crate::store::operator::{
    AuditEntry, OperatorAction, RecordInfo, RecordState, StateStats, Stats,
};
use crate::store::{StoreError, Token};

/// The columns of a row that describe a record without its response. Times are in microseconds.
pub(in crate::store::sql) struct InfoRow {
    pub(in crate::store::sql) key: Vec<u8>,
    pub(in crate::store::sql) status: String,
    pub(in crate::store::sql) attempt: i64,
    pub(in crate::store::sql) token: Vec<u8>,
    pub(in crate::store::sql) fingerprint: Vec<u8>,
    pub(in crate::store::sql) lapsed: bool,
    pub(in crate::store::sql) response_status: Option<i64>,
    pub(in crate::store::sql) response_missing: Option<String>,
    pub(in crate::store::sql) bytes: i64,
    pub(in crate::store::sql) namespace: Option<String>,
    pub(in crate::store::sql) route: Option<String>,
    pub(in crate::store::sql) scope: Option<Vec<u8>>,
    pub(in crate::store::sql) reserved_ago: i64,
    pub(in crate::store::sql) changed_ago: i64,
    pub(in crate::store::sql) expires_in: i64,
}

impl InfoRow {
    /// # Errors
    ///
    /// [`DecodeError`] if a column contains a value that this crate does not write.
    pub(in crate::store::sql) fn info(self) -> Result<RecordInfo, DecodeError> {
        let state = self.state()?;
        let fingerprint: [u8; Fingerprint::LEN] = exactly(self.fingerprint)?;
        Ok(RecordInfo {
            key: StorageKey::from_bytes(exactly(self.key)?),
            fingerprint: Fingerprint::from_bytes(&fingerprint),
            attempt: number(self.attempt)?,
            token: Token::new(exactly(self.token)?),
            state,
            label: label(self.namespace.as_deref(), self.route.as_deref()),
            scope: scope(self.scope)?,
            reserved_ago: Some(micros(self.reserved_ago)),
            changed_ago: Some(micros(self.changed_ago)),
            expires_in: Some(micros(self.expires_in)),
            bytes: number(self.bytes)?,
        })
    }

    fn state(&self) -> Result<RecordState, DecodeError> {
        let status = self
            .response_status
            .map(|status| StatusCode::from_u16(number(status)?).map_err(|_| DecodeError));
        let status = status.transpose()?;
        Ok(match (&*self.status, status) {
            ("pending", None) if self.lapsed => RecordState::Abandoned,
            ("pending", None) => RecordState::InFlight,
            ("failed", status) => RecordState::Failed { status },
            ("success", Some(status)) => {
                let kind = Kind::of_word(self.response_missing.as_deref())?;
                let not_retained = match kind {
                    Kind::NotRetained(reason) => Some(reason),
                    Kind::PackedNotRetained => Some(NotRetained::Unknown),
                    Kind::Whole | Kind::Packed | Kind::Omitted => None,
                };
                let is_packed = matches!(kind, Kind::Packed | Kind::PackedNotRetained);
                RecordState::Success { status, not_retained, is_packed }
            }
            _ => return Err(DecodeError),
        })
    }
}

/// The columns of an audit entry.
pub(in crate::store::sql) struct EntryRow {
    pub(in crate::store::sql) id: Vec<u8>,
    /// In microseconds since 1970.
    pub(in crate::store::sql) at: i64,
    pub(in crate::store::sql) action: String,
    pub(in crate::store::sql) by: String,
    pub(in crate::store::sql) reason: String,
    pub(in crate::store::sql) was: String,
    pub(in crate::store::sql) attempt: i64,
}

impl EntryRow {
    /// # Errors
    ///
    /// As [`InfoRow::info`].
    pub(in crate::store::sql) fn entry(self) -> Result<AuditEntry, DecodeError> {
        Ok(AuditEntry {
            id: Token::new(exactly(self.id)?),
            at: SystemTime::UNIX_EPOCH + micros(self.at),
            action: OperatorAction::of_word(&self.action).ok_or(DecodeError)?,
            by: self.by,
            reason: self.reason,
            was: self.was,
            attempt: number(self.attempt)?,
        })
    }
}

/// Logs that an audit entry is left out.
pub(in crate::store::sql) fn unreadable_entry(error: &StoreError) {
    static UNREADABLE: Seldom = Seldom::new();
    if UNREADABLE.is_due() {
        tracing::error!(%error, "an audit entry is left out; another version may have written it");
    }
}

/// How many records there are in one state, with attempts after the first by themselves.
pub(in crate::store::sql) struct StatsRow {
    pub(in crate::store::sql) state: String,
    pub(in crate::store::sql) again: bool,
    pub(in crate::store::sql) records: i64,
    pub(in crate::store::sql) bytes: i64,
    /// In microseconds.
    pub(in crate::store::sql) oldest: i64,
}

impl StatsRow {
    /// # Errors
    ///
    /// As [`InfoRow::info`].
    pub(in crate::store::sql) fn add_to(&self, stats: &mut Stats) -> Result<(), DecodeError> {
        let (records, bytes) = (number(self.records)?, number(self.bytes)?);
        let some = StateStats::new(records, bytes, Some(micros(self.oldest)));
        let (counted, is_in_doubt) = match &*self.state {
            "in-flight" => (&mut stats.in_flight, self.again),
            "abandoned" => (&mut stats.abandoned, true),
            "failed" => (&mut stats.failed, true),
            "success" => (&mut stats.success, false),
            "not-retained" => (&mut stats.not_retained, false),
            _ => return Err(DecodeError),
        };
        *counted += some;
        if is_in_doubt {
            stats.in_doubt += some;
        }
        Ok(())
    }
}

fn exactly<const N: usize>(bytes: Vec<u8>) -> Result<[u8; N], DecodeError> {
    bytes.try_into().map_err(|_| DecodeError)
}

fn number<T: TryFrom<i64>>(number: i64) -> Result<T, DecodeError> {
    T::try_from(number).map_err(|_| DecodeError)
}

/// A time may be a little below zero, where two clocks were read one after the other.
fn micros(micros: i64) -> Duration {
    Duration::from_micros(micros.try_into().unwrap_or(0))
}
