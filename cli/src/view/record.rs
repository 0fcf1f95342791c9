//! Records as a table, and one record at length.

use anstyle::{AnsiColor, Style};
use tower_idempotency::operate::ShownRecord;
use tower_idempotency::store::operator::{RecordInfo, RecordState};
use tower_idempotency::store::{ScopeDigest, StorageKey, StoreErrorKind};

use super::age::{age, known_age, size, time};
use super::table::{Cell, Column, Table};
use crate::terminal::painted;

/// How many digits of a record logs show.
const SHORTEST: usize = 8;

/// The colour of a state.
pub(crate) fn style(state: RecordState) -> Style {
    match state.word() {
        "in-flight" => AnsiColor::Cyan.on_default(),
        "abandoned" => AnsiColor::Red.on_default(),
        "success" => AnsiColor::Green.on_default(),
        _ => AnsiColor::Yellow.on_default(),
    }
}

/// The state with its status: `failed 503`.
pub(crate) fn state(state: RecordState) -> String {
    let status = match state {
        RecordState::Success { status, .. } => Some(status),
        RecordState::Failed { status } => status,
        _ => None,
    };
    status.map_or_else(
        || state.word().to_owned(),
        |status| format!("{} {}", state.word(), status.as_u16()),
    )
}

/// Why a response cannot be read, in one word.
pub(crate) fn unreadable_word(kind: StoreErrorKind) -> &'static str {
    if kind == StoreErrorKind::Decrypt { "decrypt" } else { "corrupt" }
}

/// A row for each record.
pub(crate) fn table(records: &[RecordInfo]) -> Table {
    let mut table = Table::new([
        Column::left("KEY"),
        Column::left("STATE"),
        Column::right("ATTEMPT"),
        Column::left("CHANGED"),
        Column::left("EXPIRES").optional(1),
        Column::right("BYTES").optional(3),
        Column::left("NAMESPACE").optional(2).at_least(8),
        Column::left("ROUTE").at_least(28),
    ]);
    let digits = digits(records);
    for record in records {
        let label = record.label.as_deref();
        table.row([
            record.key.to_hex()[..digits].into(),
            Cell::styled(state(record.state), style(record.state)),
            record.attempt.to_string().into(),
            known_age(record.changed_ago).into(),
            known_age(record.expires_in).into(),
            size(record.bytes).into(),
            label.map_or("-", |label| &label.namespace).into(),
            label.map_or("-", |label| &label.route).into(),
        ]);
    }
    table
}

/// How many digits tell these records apart: at least as many as logs show.
fn digits(records: &[RecordInfo]) -> usize {
    let mut keys: Vec<_> = records.iter().map(|record| record.key.to_hex()).collect();
    keys.sort_unstable();
    keys.dedup();
    let common = |pair: &[String]| {
        pair[0].bytes().zip(pair[1].bytes()).take_while(|(one, other)| one == other).count()
    };
    keys.windows(2).map(common).max().map_or(SHORTEST, |common| SHORTEST.max(common + 1))
}

/// A line of a record at length.
pub(crate) fn field(name: &str, value: impl std::fmt::Display) -> String {
    format!("{name:<9}  {value}")
}

/// A record at length, and its history.
pub(crate) fn lines(
    key: StorageKey,
    shown: &ShownRecord,
    width: usize,
    has_colours: bool,
) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = |name: &str, value: String| lines.push(field(name, value));
    line("Key", key.to_hex());
    match &shown.record {
        None => line("State", "no record: the key is free".into()),
        Some(record) => {
            let mut words = painted(&state(record.state), style(record.state), has_colours);
            if record.is_in_doubt() {
                words.push_str(", in doubt");
            }
            line("State", words);
            for (name, value) in details(record) {
                line(name, painted(&value, Style::new(), false));
            }
            if let Some(response) = response(record, shown.unreadable) {
                line("Response", response);
            }
        }
    }
    if !shown.history.is_empty() {
        lines.push(String::new());
        lines.extend(history(shown).lines(width, has_colours));
    }
    lines
}

fn details(record: &RecordInfo) -> Vec<(&'static str, String)> {
    let label = record.label.as_deref();
    let ago = |known: Option<_>| known.map(|known| format!("{} ago", age(known)));
    let details = [
        ("Route", label.map(|label| label.route.clone())),
        ("Namespace", label.map(|label| label.namespace.clone())),
        ("Scope", record.scope.map(ScopeDigest::to_hex)),
        ("Attempt", Some(record.attempt.to_string())),
        ("Reserved", ago(record.reserved_ago)),
        ("Changed", ago(record.changed_ago)),
        ("Expires", record.expires_in.map(|left| format!("in {}", age(left)))),
    ];
    details.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// What a client gets.
fn response(record: &RecordInfo, unreadable: Option<StoreErrorKind>) -> Option<String> {
    let RecordState::Success { not_retained, is_packed, .. } = record.state else { return None };
    let size = size(record.bytes);
    Some(match (unreadable, not_retained) {
        (Some(StoreErrorKind::Decrypt), _) => {
            format!("{size}, cannot be decrypted with these keys")
        }
        (Some(_), _) => format!("{size}, damaged"),
        (None, Some(reason)) => format!("not retained: {}", reason.word()),
        (None, None) if is_packed => format!("{size}, encrypted or compressed"),
        (None, None) => size,
    })
}

fn history(shown: &ShownRecord) -> Table {
    let mut table = Table::new([
        Column::left("TIME"),
        Column::left("BY").at_least(8),
        Column::left("ACTION"),
        Column::left("WAS"),
        Column::right("ATTEMPT").optional(1),
        Column::left("REASON").at_least(20),
    ]);
    for entry in &shown.history {
        table.row([
            time(entry.at).into(),
            Cell::from(&entry.by),
            entry.action.word().into(),
            Cell::from(&entry.was),
            entry.attempt.to_string().into(),
            Cell::from(&entry.reason),
        ]);
    }
    table
}
