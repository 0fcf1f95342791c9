//! The ledger: one line for each effect, the evidence of what really happened.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// Something that cannot be taken back, in place of a charge.
#[derive(Serialize, Deserialize)]
pub(crate) struct Effect {
    pub(crate) key: Option<String>,
    pub(crate) scope: String,
    pub(crate) attempt: u32,
    pub(crate) id: String,
    /// Milliseconds since 1970.
    pub(crate) at: u64,
}

/// Every effect so far, as JSON lines: in a file that several processes may share, or in memory.
pub(crate) enum Ledger {
    File { file: File, path: PathBuf },
    Memory(Mutex<Vec<u8>>),
}

impl Ledger {
    pub(crate) fn open(path: Option<&Path>) -> io::Result<Self> {
        let Some(path) = path else {
            return Ok(Self::Memory(Mutex::default()));
        };
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        Ok(Self::File { file, path: path.into() })
    }

    /// Adds one line by one write, so that the lines of several processes never mix. It blocks for as long as the
    /// kernel copies some hundred bytes, which is less than a hand-over to another thread would take.
    pub(crate) fn append(&self, effect: &Effect) -> io::Result<()> {
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

    /// Reads every effect, those of other processes included.
    pub(crate) async fn effects(&self) -> io::Result<Vec<Effect>> {
        let lines = match self {
            Self::File { path, .. } => tokio::fs::read(path).await?,
            Self::Memory(lines) => lines.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        };
        // A line without its end is still being written by another process.
        let whole = lines.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
        whole.map(|line| serde_json::from_slice(line).map_err(io::Error::from)).collect()
    }
}
