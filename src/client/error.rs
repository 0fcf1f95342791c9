//! [`Error`]: why an operation has no response.

use std::error::Error as StdError;
use std::fmt;

use crate::client::age::Untimely;
use crate::client::disposition::Disposition;
use crate::client::profile::KeyForm;
use crate::client::report::{Report, Reported};
use crate::record::key::IdempotencyKey;

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// Why an operation has no usable response.
///
/// [`is_in_doubt`](Self::is_in_doubt) says whether the operation may have been done. If so, retry
/// it only under the same key. With an [`Operation`](super::Operation), the key is still stored.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    report: Report,
    form: Option<KeyForm>,
    source: Option<BoxError>,
}

/// The kinds of [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The connection failed: before the request was sent, before the response came, or during the
    /// response.
    Connection,
    /// The last attempt made no progress in time.
    Timeout,
    /// The body of the request is larger than `max_request`. Nothing was sent.
    TooLarge,
    /// The body of the request could not be read to its end, or not within `total_timeout`. Nothing
    /// was sent.
    Unreadable,
    /// The key in the header is empty. Nothing was sent.
    Key,
    /// The server may have forgotten the key, so the next attempt was not made.
    Expired,
    /// The key is dated more than five minutes ahead of the clock, so its age is not known. The
    /// next attempt was not made.
    ClockBehind,
    /// The server did not understand the key as it was sent, because the client is set up for
    /// another kind of server. The message names the header, the form and the
    /// [`Profile`](super::Profile) to set.
    KeyNotUnderstood,
}

impl From<Untimely> for ErrorKind {
    fn from(untimely: Untimely) -> Self {
        match untimely {
            Untimely::Expired => Self::Expired,
            Untimely::ClockBehind => Self::ClockBehind,
        }
    }
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, source: Option<BoxError>) -> Self {
        let disposition = Disposition::Unknown;
        let report =
            Report { disposition, status: None, is_in_doubt: false, key: None, attempts: 0 };
        Self { kind, report, form: None, source }
    }

    pub(crate) fn not_understood(form: KeyForm) -> Self {
        Self { form: Some(form), ..Self::new(ErrorKind::KeyNotUnderstood, None) }
    }

    /// The error of a request without a key, which was sent once.
    pub(crate) fn unguarded(source: BoxError) -> Self {
        let mut error = Self::new(ErrorKind::Connection, Some(source));
        error.tell(1, None, true);
        error
    }

    pub(crate) fn tell(&mut self, attempts: u32, key: Option<&IdempotencyKey>, is_in_doubt: bool) {
        self.report = Report { is_in_doubt, key: key.cloned(), attempts, ..self.report.clone() };
    }

    /// Why the last attempt has no usable response.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// How many attempts were made. An attempt counts even if its connection failed.
    pub fn attempts(&self) -> u32 {
        self.report.attempts()
    }

    /// The key of the operation. The caller can continue under it, or look the operation up. `None`
    /// if the request has no key yet, or one that this crate cannot read.
    pub fn key(&self) -> Option<&IdempotencyKey> {
        self.report.key()
    }

    /// Whether the operation may have been done, by this call or by an earlier one under the key.
    pub fn is_in_doubt(&self) -> bool {
        self.report.is_in_doubt()
    }
}

impl Reported for Error {
    fn report(&self) -> Option<&Report> {
        Some(&self.report)
    }
}

/// Also finds the report of an error that other services wrap, as `tower::buffer` does.
impl Reported for Box<dyn StdError + Send + Sync> {
    fn report(&self) -> Option<&Report> {
        find(&**self)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attempts = self.attempts();
        match self.kind {
            ErrorKind::Connection => {
                write!(f, "the connection failed in attempt {attempts}, so the outcome is unknown")
            }
            ErrorKind::Timeout => {
                write!(f, "attempt {attempts} made no progress in time, so the outcome is unknown")
            }
            ErrorKind::TooLarge => {
                f.write_str("the request is larger than `max_request` and was not sent")
            }
            ErrorKind::Unreadable => {
                f.write_str("the request body could not be read, so nothing was sent")
            }
            ErrorKind::Key => {
                f.write_str("the key of the request is empty, so the request was not sent")
            }
            ErrorKind::Expired => write!(
                f,
                "the server may have forgotten the key, so the request was not sent after attempt \
                 {attempts}"
            ),
            ErrorKind::ClockBehind => f.write_str(
                "the key is dated more than five minutes ahead of the clock, so the request was \
                 not sent",
            ),
            ErrorKind::KeyNotUnderstood => self.write_form(f),
        }
    }
}

impl Error {
    fn write_form(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server did not understand the key")?;
        let Some(form) = &self.form else { return Ok(()) };
        let style = |is_quoted| if is_quoted { "in quotes" } else { "bare" };
        write!(
            f,
            ", which was sent in the header {}, {}; set the profile of the server:",
            form.header,
            style(form.is_quoted)
        )?;
        for (index, profile) in form.others().enumerate() {
            let separator = if index == 0 { " " } else { ", or " };
            let (header, style) = (profile.header(), style(profile.is_quoted()));
            write!(f, "{separator}Profile::{profile:?} ({header}, {style})")?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// Finds the report in an error or in its causes.
pub(crate) fn find<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Report> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<Error>() {
            return error.report();
        }
        cause = error.source();
    }
    None
}
