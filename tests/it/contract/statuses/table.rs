//! The tables of the guide, read.

use std::collections::BTreeMap;

const GUIDE: &str = include_str!("../../../../src/guide/statuses.md");

/// What a response means for its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Stored,
    Discarded,
    Failed,
}

/// What the attempt before came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    Abandoned,
    Failed,
}

/// What the third request sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Third {
    Replay,
    /// The key is free.
    First,
    /// Attempt 3 runs, in doubt.
    InDoubt(Before),
}

/// A row without the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) meaning: Meaning,
    pub(super) after_attempt_1: Third,
    pub(super) after_attempt_2: Third,
}

/// Each status, and its row.
pub(super) fn over_http() -> BTreeMap<u16, Row> {
    by_status(rows("Over HTTP").map(|[status, cells @ ..]: [&str; 5]| (status, row(cells))))
}

/// What a response has besides its status, and its row.
pub(super) fn more_than_a_status() -> BTreeMap<String, Row> {
    named(rows("More than a status").map(|[name, cells @ ..]: [&str; 5]| (name, row(cells))))
}

/// Each code, the status of its record, and its row.
#[cfg(feature = "grpc")]
pub(super) fn over_grpc() -> BTreeMap<String, (u16, Row)> {
    let rows = rows("Over gRPC").map(|[code, status, cells @ ..]: [&str; 6]| {
        (code, (status.parse().expect("the record has a status"), row(cells)))
    });
    named(rows)
}

/// What each status means by default, under `ietf`, and under `stripe`.
pub(super) fn profiles() -> BTreeMap<u16, [Meaning; 3]> {
    by_status(rows("Profiles").map(|[status, cells @ ..]: [&str; 4]| (status, cells.map(meaning))))
}

/// The rows of the table under a heading, its head left out.
fn rows<const CELLS: usize>(heading: &str) -> impl Iterator<Item = [&'static str; CELLS]> {
    let section = GUIDE.split("\n# ").find_map(|section| section.strip_prefix(heading));
    let section = section.unwrap_or_else(|| panic!("the guide has no section {heading}"));
    let lines = section.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    lines.skip(1).map(|line| {
        let cells: Vec<_> = line.split(" | ").collect();
        cells.try_into().unwrap_or_else(|cells| panic!("a row has other cells: {cells:?}"))
    })
}

fn row([response, after_attempt_1, after_attempt_2, why]: [&str; 4]) -> Row {
    assert!(why.ends_with('.'), "a row gives its reason in a sentence: {why:?}");
    Row {
        meaning: meaning(response),
        after_attempt_1: third(after_attempt_1),
        after_attempt_2: third(after_attempt_2),
    }
}

fn meaning(cell: &str) -> Meaning {
    match cell {
        "stored" => Meaning::Stored,
        "discarded" => Meaning::Discarded,
        "failed" => Meaning::Failed,
        _ => panic!("not the meaning of a response: {cell}"),
    }
}

fn third(cell: &str) -> Third {
    match cell {
        "replay" => Third::Replay,
        "attempt 1" => Third::First,
        "attempt 3, previous abandoned, in doubt" => Third::InDoubt(Before::Abandoned),
        "attempt 3, previous failed, in doubt" => Third::InDoubt(Before::Failed),
        _ => panic!("not what a request can see: {cell}"),
    }
}

fn by_status<T: Copy>(rows: impl Iterator<Item = (&'static str, T)>) -> BTreeMap<u16, T> {
    let mut all = BTreeMap::new();
    for (cell, row) in rows {
        for status in cell.split(", ").flat_map(statuses) {
            assert!(all.insert(status, row).is_none(), "the table names {status} twice");
        }
    }
    assert!(all.keys().copied().eq(100..=999), "the table leaves a status out: {:?}", all.keys());
    all
}

/// One status, or a range of them.
fn statuses(cell: &str) -> std::ops::RangeInclusive<u16> {
    let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("not a status: {text}"));
    match cell.split_once('–') {
        Some((first, last)) => number(first)..=number(last),
        None => number(cell)..=number(cell),
    }
}

fn named<T>(rows: impl Iterator<Item = (&'static str, T)>) -> BTreeMap<String, T> {
    let mut all = BTreeMap::new();
    for (name, row) in rows {
        let name = name.replace('`', "");
        assert!(all.insert(name.clone(), row).is_none(), "the table names {name} twice");
    }
    all
}
