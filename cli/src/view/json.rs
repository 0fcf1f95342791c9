//! The documents of `--json`. Their names are stable, and the README lists them.

use std::time::Duration;

use serde::Serialize;
use tower_idempotency::operate::{CheckItem, CheckResult, Settled, ShownRecord};
use tower_idempotency::store::operator::{AuditEntry, RecordInfo, RecordState, StateStats, Stats};
use tower_idempotency::store::{NotRetained, ScopeDigest, StorageKey};

use super::age::time;
use super::clean::clean_json;
use crate::failure::Failure;

/// The document in one line, without control characters.
pub(crate) fn line(document: &impl Serialize) -> Result<String, Failure> {
    let json = serde_json::to_string(document);
    let json = json.map_err(|error| Failure::error(format!("the JSON cannot be made: {error}")))?;
    Ok(clean_json(&json).into_owned())
}

/// A record. Ages are in milliseconds.
#[derive(Serialize)]
pub(crate) struct RecordJson {
    key: String,
    state: &'static str,
    in_doubt: bool,
    status: Option<u16>,
    not_retained: Option<&'static str>,
    packed: bool,
    attempt: u32,
    namespace: Option<String>,
    route: Option<String>,
    scope: Option<String>,
    reserved_ago_ms: Option<u128>,
    changed_ago_ms: Option<u128>,
    expires_in_ms: Option<u128>,
    bytes: u64,
}

impl From<&RecordInfo> for RecordJson {
    fn from(record: &RecordInfo) -> Self {
        let millis = |age: Option<Duration>| age.map(|age| age.as_millis());
        let (status, not_retained, packed) = match record.state {
            RecordState::Success { status, not_retained, is_packed } => {
                (Some(status), not_retained, is_packed)
            }
            RecordState::Failed { status } => (status, None, false),
            _ => (None, None, false),
        };
        Self {
            key: record.key.to_hex(),
            state: record.state.word(),
            in_doubt: record.is_in_doubt(),
            status: status.map(|status| status.as_u16()),
            not_retained: not_retained.map(NotRetained::word),
            packed,
            attempt: record.attempt,
            namespace: record.label.as_ref().map(|label| label.namespace.clone()),
            route: record.label.as_ref().map(|label| label.route.clone()),
            scope: record.scope.map(ScopeDigest::to_hex),
            reserved_ago_ms: millis(record.reserved_ago),
            changed_ago_ms: millis(record.changed_ago),
            expires_in_ms: millis(record.expires_in),
            bytes: record.bytes,
        }
    }
}

/// A record and its history.
#[derive(Serialize)]
pub(crate) struct ShownJson {
    key: String,
    downstream_key: Option<String>,
    record: Option<RecordJson>,
    unreadable: Option<&'static str>,
    history: Vec<EntryJson>,
}

#[derive(Serialize)]
struct EntryJson {
    at: String,
    by: String,
    action: &'static str,
    reason: String,
    was: String,
    attempt: u32,
}

impl ShownJson {
    pub(crate) fn new(
        key: StorageKey,
        shown: &ShownRecord,
        downstream_key: Option<String>,
    ) -> Self {
        Self {
            key: key.to_hex(),
            downstream_key,
            record: shown.record.as_ref().map(RecordJson::from),
            unreadable: shown.unreadable.map(super::record::unreadable_word),
            history: shown.history.iter().map(EntryJson::from).collect(),
        }
    }
}

impl From<&AuditEntry> for EntryJson {
    fn from(entry: &AuditEntry) -> Self {
        Self {
            at: time(entry.at),
            by: entry.by.clone(),
            action: entry.action.word(),
            reason: entry.reason.clone(),
            was: entry.was.clone(),
            attempt: entry.attempt,
        }
    }
}

/// The result of a change. `now` is the record that was found instead of the one that was seen.
#[derive(Serialize)]
pub(crate) struct ChangedJson {
    key: String,
    action: &'static str,
    result: &'static str,
    now: Option<RecordJson>,
}

impl ChangedJson {
    pub(crate) fn new(key: StorageKey, action: &'static str, settled: &Settled) -> Self {
        let (result, now) = match settled {
            Settled::Applied => ("applied", None),
            Settled::AlreadyApplied => ("already-applied", None),
            Settled::Moved(now) => ("moved", now.as_deref().map(RecordJson::from)),
            Settled::InFlight => ("in-flight", None),
            Settled::HasResponse => ("has-response", None),
            Settled::Unreadable(_) => ("unreadable", None),
        };
        Self { key: key.to_hex(), action, result, now }
    }
}

/// What the erasure of a scope did.
#[derive(Serialize)]
pub(crate) struct ErasedJson {
    pub(crate) scope: String,
    pub(crate) action: &'static str,
    pub(crate) erased: u64,
    pub(crate) left: u64,
}

/// Counts by state.
#[derive(Serialize)]
pub(crate) struct StatsJson {
    in_flight: StateJson,
    abandoned: StateJson,
    failed: StateJson,
    not_retained: StateJson,
    success: StateJson,
    in_doubt: StateJson,
}

#[derive(Serialize)]
struct StateJson {
    count: u64,
    bytes: u64,
    oldest_ms: Option<u128>,
}

impl From<&Stats> for StatsJson {
    fn from(stats: &Stats) -> Self {
        let json = |state: &StateStats| StateJson {
            count: state.count,
            bytes: state.bytes,
            oldest_ms: state.oldest.map(|age| age.as_millis()),
        };
        Self {
            in_flight: json(&stats.in_flight),
            abandoned: json(&stats.abandoned),
            failed: json(&stats.failed),
            not_retained: json(&stats.not_retained),
            success: json(&stats.success),
            in_doubt: json(&stats.in_doubt),
        }
    }
}

/// One look of `watch`.
#[derive(Serialize)]
pub(crate) struct LookJson {
    pub(crate) at: String,
    pub(crate) stats: StatsJson,
    pub(crate) records: Vec<RecordJson>,
}

/// What the doctor found.
#[derive(Serialize)]
pub(crate) struct CheckupJson {
    problems: usize,
    findings: Vec<FindingJson>,
}

#[derive(Serialize)]
struct FindingJson {
    name: &'static str,
    result: &'static str,
    found: String,
    why: &'static str,
    remedy: &'static str,
}

impl From<&[CheckItem]> for CheckupJson {
    fn from(items: &[CheckItem]) -> Self {
        let findings = items.iter().map(|item| FindingJson {
            name: item.name,
            result: match item.result {
                CheckResult::Passed => "passed",
                CheckResult::Open => "open",
                _ => "unseen",
            },
            found: item.found.clone(),
            why: item.why,
            remedy: item.remedy,
        });
        let problems = items.iter().filter(|item| item.result == CheckResult::Open).count();
        Self { problems, findings: findings.collect() }
    }
}
