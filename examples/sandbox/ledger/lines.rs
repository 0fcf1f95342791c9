//! One line for each effect.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use axum::http::StatusCode;
use axum::response::Response;
use tower_idempotency::Attempt;

use super::{Effect, Ledger};
use crate::payments::refusal;

/// Every effect so far, as JSON lines: in a file that several processes may share, or in memory.
pub(crate) enum Lines {
    File { file: File, path: PathBuf },
    Memory(Mutex<Vec<u8>>),
}

impl Lines {
    pub(crate) fn open(path: Option<&Path>) -> io::Result<Self> {
        let Some(path) = path else {
            return Ok(Self::Memory(Mutex::default()));
        };
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        Ok(Self::File { file, path: path.into() })
    }

    /// Adds one line by one write, so that the lines of several processes never mix. It blocks for
    /// as long as the kernel copies some hundred bytes, which is less than a hand-over to another
    /// thread would take.
    fn write(&self, effect: &Effect) -> io::Result<()> {
        let mut line = serde_json::to_vec(effect)?;
        line.push(b'\n');
        match self {
            Self::File { file, .. } => match (&*file).write(&line)? {
                written if written == line.len() => Ok(()),
                _ => Err(io::Error::new(io::ErrorKind::WriteZero, "the line was cut")),
            },
            Self::Memory(lines) => {
                lines.lock().unwrap_or_else(PoisonError::into_inner).append(&mut line);
                Ok(())
            }
        }
    }

    async fn read(&self) -> io::Result<Vec<Effect>> {
        let lines = match self {
            Self::File { path, .. } => tokio::fs::read(path).await?,
            Self::Memory(lines) => lines.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        };
        // A line without its end is still being written by another process.
        let whole = lines.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
        whole.map(|line| serde_json::from_slice(line).map_err(io::Error::from)).collect()
    }
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
    refusal(StatusCode::INTERNAL_SERVER_ERROR, &format!("the ledger cannot be {what}: {error}"))
}
