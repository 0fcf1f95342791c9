//! Records, histories and statistics as JSON.

use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;

use crate::operate::{Settled, ShownRecord};
use crate::record::hex;
use crate::record::key::ScopeDigest;
use crate::record::outcome::Kind;
use crate::store::operator::{
    AuditEntry, Cursor, ListPage, Progress, RecordInfo, RecordState, StateStats, Stats,
};
use crate::store::{StoreErrorKind, Token};

/// A record without its response.
#[derive(Serialize)]
pub(super) struct Record {
    key: String,
    state: &'static str,
    in_doubt: bool,
    attempt: u32,
    token: String,
    namespace: Option<String>,
    route: Option<String>,
    scope: Option<String>,
    reserved_seconds_ago: Option<f64>,
    changed_seconds_ago: Option<f64>,
    expires_in_seconds: Option<f64>,
    status: Option<u16>,
    not_retained: Option<&'static str>,
    packed: bool,
    bytes: u64,
}

impl From<&RecordInfo> for Record {
    fn from(info: &RecordInfo) -> Self {
        let (status, not_retained, packed) = match info.state {
            RecordState::Failed { status } => (status, None, false),
            RecordState::Success { status, not_retained, is_packed } => {
                (Some(status), not_retained, is_packed)
            }
            RecordState::InFlight | RecordState::Abandoned => (None, None, false),
        };
        let label = info.label.as_deref();
        Self {
            key: info.key.to_hex(),
            state: info.state.word(),
            in_doubt: info.is_in_doubt(),
            attempt: info.attempt,
            token: digits(info.token),
            namespace: label.map(|label| label.namespace.clone()),
            route: label.map(|label| label.route.clone()),
            scope: info.scope.map(ScopeDigest::to_hex),
            reserved_seconds_ago: info.reserved_ago.map(seconds),
            changed_seconds_ago: info.changed_ago.map(seconds),
            expires_in_seconds: info.expires_in.map(seconds),
            status: status.map(|status| status.as_u16()),
            not_retained: not_retained.and_then(|reason| Kind::NotRetained(reason).word()),
            packed,
            bytes: info.bytes,
        }
    }
}

#[derive(Serialize)]
pub(super) struct Page {
    records: Vec<Record>,
    next: Option<String>,
    progress: Option<ProgressShape>,
}

impl From<ListPage> for Page {
    fn from(page: ListPage) -> Self {
        Self {
            records: page.records.iter().map(Record::from).collect(),
            next: page.next.as_ref().map(text),
            progress: page.progress.map(ProgressShape::from),
        }
    }
}

#[derive(Serialize)]
pub(super) struct ProgressShape {
    read: u64,
    of: u64,
}

impl From<Progress> for ProgressShape {
    fn from(Progress { read, of }: Progress) -> Self {
        Self { read, of }
    }
}

/// A record with its history.
#[derive(Serialize)]
pub(super) struct Shown {
    record: Option<Record>,
    response_headers: Option<usize>,
    unreadable: Option<&'static str>,
    history: Vec<Entry>,
}

impl From<ShownRecord> for Shown {
    fn from(shown: ShownRecord) -> Self {
        let unreadable = shown.unreadable.map(|kind| match kind {
            StoreErrorKind::Decrypt => "decrypt",
            _ => "corrupt",
        });
        Self {
            record: shown.record.as_ref().map(Record::from),
            response_headers: shown.response_headers,
            unreadable,
            history: shown.history.iter().map(Entry::from).collect(),
        }
    }
}

#[derive(Serialize)]
struct Entry {
    id: String,
    at_unix_seconds: f64,
    action: &'static str,
    by: String,
    reason: String,
    was: String,
    attempt: u32,
}

impl From<&AuditEntry> for Entry {
    fn from(entry: &AuditEntry) -> Self {
        Self {
            id: digits(entry.id),
            at_unix_seconds: entry.at.duration_since(UNIX_EPOCH).map(seconds).unwrap_or_default(),
            action: entry.action.word(),
            by: entry.by.clone(),
            reason: entry.reason.clone(),
            was: entry.was.clone(),
            attempt: entry.attempt,
        }
    }
}

/// The counts by state, and who asks.
#[derive(Serialize)]
pub(super) struct Counts {
    operator: String,
    states: States,
    next: Option<String>,
    progress: Option<ProgressShape>,
}

impl Counts {
    pub(super) fn new(
        operator: String,
        sum: &Stats,
        next: Option<&Cursor>,
        progress: Option<Progress>,
    ) -> Self {
        let states = States {
            in_flight: sum.in_flight.into(),
            abandoned: sum.abandoned.into(),
            failed: sum.failed.into(),
            not_retained: sum.not_retained.into(),
            success: sum.success.into(),
            in_doubt: sum.in_doubt.into(),
        };
        Self { operator, states, next: next.map(text), progress: progress.map(Into::into) }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct States {
    in_flight: Numbers,
    abandoned: Numbers,
    failed: Numbers,
    not_retained: Numbers,
    success: Numbers,
    in_doubt: Numbers,
}

#[derive(Serialize)]
struct Numbers {
    count: u64,
    bytes: u64,
    oldest_changed_seconds_ago: Option<f64>,
}

impl From<StateStats> for Numbers {
    fn from(stats: StateStats) -> Self {
        let StateStats { count, bytes, oldest } = stats;
        Self { count, bytes, oldest_changed_seconds_ago: oldest.map(seconds) }
    }
}

/// The result of a change that went well.
#[derive(Serialize)]
pub(super) struct Changed {
    result: &'static str,
    detail: String,
}

impl From<&Settled> for Changed {
    fn from(settled: &Settled) -> Self {
        let result = match settled {
            Settled::AlreadyApplied => "already-applied",
            _ => "applied",
        };
        Self { result, detail: settled.to_string() }
    }
}

fn text(cursor: &Cursor) -> String {
    cursor.as_str().to_owned()
}

/// Seconds, to the millisecond.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

fn digits(token: Token) -> String {
    hex::text(token.as_bytes())
}
