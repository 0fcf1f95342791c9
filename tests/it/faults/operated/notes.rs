//! What the processes write down: one line of JSON for each effect and each result.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// A time in microseconds since 1970.
pub(super) type At = u64;

pub(super) fn now() -> At {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_micros()).unwrap()
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Note {
    /// An operation had its effect.
    Effect { key: usize, id: String },
    /// A call returned this value.
    Heard { key: usize, begun: At, ended: At, id: String, is_replay: bool },
    /// A call returned no value.
    Rejected { key: usize },
    /// A process was told an event. `life` is its own from its start to its end.
    Event { life: u64, number: u64, key: String, kind: Kind, token: String },
    /// Events were lost.
    Lost { life: u64 },
}

/// The events that change a record. The others are noted for their number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    Reserved {
        replaces: Option<String>,
    },
    Ended,
    Released,
    /// By an operator. The token is the new one.
    Changed {
        to: Option<String>,
    },
    Other,
}

/// The file of one worker.
pub(super) struct Pen(Mutex<File>);

impl Pen {
    pub(super) fn at(path: &Path) -> Self {
        Self(Mutex::new(OpenOptions::new().append(true).create(true).open(path).unwrap()))
    }

    /// One write for each line, so that a process that is killed leaves whole lines.
    pub(super) fn write(&self, note: &Note) {
        let line = format!("{}\n", serde_json::to_string(note).unwrap());
        self.0.lock().unwrap().write_all(line.as_bytes()).unwrap();
    }
}

/// The notes about one key.
#[derive(Debug, Default)]
pub(super) struct OfKey {
    pub(super) effects: Vec<String>,
    pub(super) heard: Vec<(At, At, String, bool)>,
}

#[derive(Default)]
pub(super) struct Notes {
    pub(super) keys: BTreeMap<usize, OfKey>,
    pub(super) calls: usize,
    /// By the name of the record.
    pub(super) events: BTreeMap<String, Vec<(Kind, String)>>,
    pub(super) problems: Vec<String>,
}

impl Notes {
    pub(super) fn read<'a>(files: impl Iterator<Item = &'a Path>) -> Self {
        let mut notes = Self::default();
        let mut numbers = BTreeMap::<u64, u64>::new();
        for note in files.flat_map(lines) {
            match note {
                Note::Effect { key, id } => notes.keys.entry(key).or_default().effects.push(id),
                Note::Heard { key, begun, ended, id, is_replay } => {
                    notes.calls += 1;
                    let of_key = notes.keys.entry(key).or_default();
                    of_key.heard.push((begun, ended, id, is_replay));
                }
                Note::Rejected { .. } => notes.calls += 1,
                Note::Lost { life } => notes.problems.push(format!("{life:x}: lost events")),
                Note::Event { life, number, key, kind, token } => {
                    // A test before this one in the process has had the first numbers.
                    let last = numbers.insert(life, number);
                    if last.is_some_and(|last| number != last + 1) {
                        notes.problems.push(format!("{life:x}: event {number} after {last:?}"));
                    }
                    notes.events.entry(key).or_default().push((kind, token));
                }
            }
        }
        notes
    }
}

/// How many calls a worker has finished before it was killed.
pub(super) fn finished(path: &Path) -> usize {
    let is_call = |note: &Note| matches!(note, Note::Heard { .. } | Note::Rejected { .. });
    lines(path).filter(is_call).count()
}

fn lines(path: &Path) -> impl Iterator<Item = Note> + use<> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let notes: Vec<_> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    notes.into_iter()
}
