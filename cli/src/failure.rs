//! Why a command did not do what it was asked, and the exit code for it.

use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::process::ExitCode;

use tower_idempotency::operate::OperatorError;
use tower_idempotency::store::{StoreError, StoreErrorKind};

use crate::terminal::Terminal;
use crate::view::clean::clean;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    /// `None`: the reader of the output has gone.
    pub(crate) message: Option<String>,
}

impl Failure {
    fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: Some(message.into()) }
    }

    /// Something failed.
    pub(crate) fn error(message: impl Into<String>) -> Self {
        Self::new(1, message)
    }

    /// The command line is wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(2, message)
    }

    /// Nothing was found.
    pub(crate) fn nothing(message: impl Into<String>) -> Self {
        Self::new(3, message)
    }

    /// The record is not as the change needs it.
    pub(crate) fn unchanged(message: impl Into<String>) -> Self {
        Self::new(4, message)
    }

    /// The doctor found problems.
    pub(crate) fn problems(message: impl Into<String>) -> Self {
        Self::new(5, message)
    }

    /// A file cannot be read or written.
    pub(crate) fn file(path: &std::path::Path, error: &io::Error) -> Self {
        Self::error(format!("{}: {error}", path.display()))
    }

    /// Tells the user.
    pub(crate) fn report(&self, terminal: &mut Terminal) -> ExitCode {
        if let Some(message) = &self.message {
            let message: Vec<_> = message.lines().map(clean).collect();
            terminal.say(&format!("{} {}", terminal.alarmed("error:"), message.join("\n")));
        }
        self.code.into()
    }
}

/// A reader that has seen enough, such as `head`, closes the pipe. That is not an error.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self { code: 0, message: None };
        }
        Self::error(format!("the output cannot be written: {error}"))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::error(told(&error))
    }
}

impl From<OperatorError> for Failure {
    fn from(error: OperatorError) -> Self {
        match error {
            OperatorError::Store(error) => error.into(),
            text => Self::usage(text.to_string()),
        }
    }
}

/// The error, its causes, and what to do if it does not say so itself.
pub(crate) fn told(error: &StoreError) -> String {
    let mut text = chain(error);
    let remedy = match error.kind() {
        StoreErrorKind::Timeout => {
            "raise --timeout, or look at the load of the store; a change may have taken effect: \
             look at the record again"
        }
        StoreErrorKind::Unavailable => "`idempotency doctor` says more",
        StoreErrorKind::Unsupported => "use a store that lists and changes records",
        _ => return text,
    };
    let _ = write!(text, "; {remedy}");
    text
}

/// The error and its causes, each once. A server may say anything.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            let _ = write!(text, ": {cause_text}");
        }
        source = cause.source();
    }
    clean(&text).into_owned()
}
