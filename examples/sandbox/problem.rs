//! Why the sandbox does not serve.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::args::USAGE;

pub(crate) enum Problem {
    /// The flags ask for what cannot be.
    Misused(String),
    /// What they ask for was tried in vain.
    Failed(String),
}

impl Problem {
    /// What was tried, and why it failed, down to the first cause.
    pub(crate) fn failed(tried: impl Display, error: &dyn Error) -> Self {
        let mut told = format!("{tried}: {error}");
        let mut source = error.source();
        while let Some(error) = source {
            // Some errors tell their source themselves.
            let cause = error.to_string();
            if !told.ends_with(&cause) {
                told = format!("{told}: {cause}");
            }
            source = error.source();
        }
        Self::Failed(told)
    }

    pub(crate) fn told(self) -> ExitCode {
        // Whoever closed the pipe early still gets the right exit code.
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
