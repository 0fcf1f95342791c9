//! The files that are read beside the file itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Files as they were before they were read.
#[derive(Debug, Default)]
pub(crate) struct Beside(BTreeMap<PathBuf, Option<Stamp>>);

#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
}

impl Beside {
    /// Notes a file that is about to be read. A change from now on is a change of the plan, so this
    /// comes before the file is read.
    pub(crate) fn note(&mut self, file: PathBuf) {
        let stamp = stamp(&file);
        // The first reader may have read it before a change.
        self.0.entry(file).or_insert(stamp);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn have_changed(&self) -> bool {
        self.0.iter().any(|(file, seen)| stamp(file) != *seen)
    }
}

fn stamp(file: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(file).ok()?;
    Some(Stamp { modified: metadata.modified().ok(), length: metadata.len() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_file_that_changes_after_it_is_noted_has_changed() {
        let name = format!("tower-idempotency-gateway-beside-{}", std::process::id());
        let file = std::env::temp_dir().join(name);
        let mut beside = Beside::default();
        beside.note(file.clone());
        assert!(!beside.have_changed());
        std::fs::write(&file, "a").unwrap();
        assert!(beside.have_changed());
        // A second reader does not hide the change from the first one.
        beside.note(file.clone());
        assert!(beside.have_changed());
        beside.clear();
        beside.note(file.clone());
        assert!(!beside.have_changed());
        std::fs::remove_file(&file).unwrap();
        assert!(beside.have_changed());
    }
}
