//! [`OperationError`]: why an operation cannot begin.

use std::error::Error;
use std::time::SystemTime;
use std::{fmt, io};

/// Why an operation cannot begin. Do not send its request.
#[derive(Debug)]
#[non_exhaustive]
pub enum OperationError {
    /// It is not certain that the key is stored.
    Store(io::Error),
    /// The operation began so long ago that the server may have forgotten its key. Find out how the
    /// operation ended. Then [`Operations::forget`](crate::client::Operations::forget) allows a new
    /// key.
    Expired {
        /// When the key was made, by the client's clock.
        created_at: SystemTime,
    },
    /// The key is dated more than five minutes ahead of the clock, so its age is not known. The
    /// clock was fast when the key was made, or it is slow now.
    ClockBehind {
        /// When the key was made, by the client's clock.
        created_at: SystemTime,
    },
}

impl fmt::Display for OperationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Store(_) => "the key of the operation cannot be stored",
            Self::Expired { .. } => {
                "the operation began so long ago that the server may have forgotten its key"
            }
            Self::ClockBehind { .. } => {
                "the key of the operation is dated more than five minutes ahead of the clock"
            }
        })
    }
}

impl Error for OperationError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Store(source) => Some(source),
            Self::Expired { .. } | Self::ClockBehind { .. } => None,
        }
    }
}
