//! One line for each effect.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use axum::response::Response;
use tower_idempotency::Attempt;

use super::{Effect, Ledger, Terms};
use crate::payments::rejection;

/// All effects so far.
pub(crate) struct Lines {
    lines: Output,
    /// The terms of this process's payments, by the id of the effect. A line does not contain them.
    terms: Mutex<HashMap<String, Terms>>,
}

/// The JSON lines: in a file that several processes may share, or in memory.
enum Output {
    File { file: File, path: PathBuf },
    Memory(Mutex<Vec<u8>>),
}

impl Lines {
    pub(crate) fn open(path: Option<&Path>) -> io::Result<Self> {
        let lines = match path {
            Some(path) => {
                let file = OpenOptions::new().append(true).create(true).open(path)?;
                Output::File { file, path: path.into() }
            }
            None => Output::Memory(Mutex::default()),
        };
        Ok(Self { lines, terms: Mutex::default() })
    }

    /// Adds one line in one write, so that the lines of several processes never mix. It blocks
    /// while the kernel copies some hundred bytes, which is shorter than handing over to another
    /// thread.
    fn write(&self, effect: &Effect) -> io::Result<()> {
        lock(&self.terms).insert(effect.id.clone(), effect.terms.clone());
        let mut line = serde_json::to_vec(effect)?;
        line.push(b'\n');
        match &self.lines {
            Output::File { file, .. } => match (&*file).write(&line)? {
                written if written == line.len() => Ok(()),
                _ => Err(io::Error::new(io::ErrorKind::WriteZero, "the line was cut")),
            },
            Output::Memory(lines) => {
                lock(lines).append(&mut line);
                Ok(())
            }
        }
    }

    async fn read(&self) -> io::Result<Vec<Effect>> {
        let lines = match &self.lines {
            Output::File { path, .. } => tokio::fs::read(path).await?,
            Output::Memory(lines) => lock(lines).clone(),
        };
        let terms = lock(&self.terms);
        let effect = |line: &[u8]| -> io::Result<Effect> {
            let mut effect: Effect = serde_json::from_slice(line)?;
            effect.terms = terms.get(&effect.id).cloned().unwrap_or_default();
            Ok(effect)
        };
        // Another process is still writing a line without a line break.
        let whole =
            lines.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
        whole.map(effect).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ledger for Lines {
    async fn append(&self, effect: &Effect, _: Option<&Attempt>) -> Result<(), Response> {
        self.write(effect).map_err(|error| failure("written", &error))
    }

    async fn effects(&self) -> Result<Vec<Effect>, Response> {
        self.read().await.map_err(|error| failure("read", &error))
    }
}

fn failure(what: &str, error: &io::Error) -> Response {
    rejection(StatusCode::INTERNAL_SERVER_ERROR, &format!("the ledger cannot be {what}: {error}"))
}
