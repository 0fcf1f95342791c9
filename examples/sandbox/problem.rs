//! The errors that prevent the sandbox from serving.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::args::USAGE;

pub(crate) enum Problem {
    /// The flags are not valid.
    Misused(String),
    /// An action that the flags ask for has failed.
    Failed(String),
}

impl Problem {
    /// Describes the failed action and the error with all its causes.
    pub(crate) fn failed(tried: impl Display, error: &dyn Error) -> Self {
        let mut text = format!("{tried}: {error}");
        let mut source = error.source();
        while let Some(error) = source {
            // The text of some errors already contains their source.
            let cause = error.to_string();
            if !text.ends_with(&cause) {
                text = format!("{text}: {cause}");
            }
            source = error.source();
        }
        Self::Failed(text)
    }

    /// Prints the error. A reader that has closed the pipe still gets the right exit code.
    pub(crate) fn report(self) -> ExitCode {
        match self {
            Self::Misused(problem) => {
                let _ = writeln!(io::stderr(), "error: {problem}\n\n{USAGE}");
                ExitCode::from(2)
            }
            Self::Failed(problem) => {
                let _ = writeln!(io::stderr(), "error: {problem}");
                ExitCode::FAILURE
            }
        }
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}
