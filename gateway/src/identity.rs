//! Whose key it is.

use std::path::{Path, PathBuf};

use http::HeaderName;
use http::request::Parts;
use tower_idempotency::Scope;

use crate::file::{Everyone, File, Scope as Written};

/// How the caller of a route is known.
pub(crate) enum Identity {
    /// All callers are one.
    Everyone,
    /// Whoever sends the same value.
    Header(HeaderName),
}

/// The caller of a request, in its extensions.
#[derive(Clone)]
pub(crate) struct Caller(Option<Scope>);

impl Caller {
    pub(crate) fn scope(&self) -> Option<Scope> {
        self.0.clone()
    }
}

impl Identity {
    /// # Errors
    ///
    /// What is wrong with it, for a person.
    pub(crate) fn new(
        written: &Written,
        file: &File,
        folder: &Path,
        files: &mut Vec<PathBuf>,
    ) -> Result<Self, String> {
        let _ = (file, folder, files);
        match written {
            Written::Everyone(Everyone::Everyone) => Ok(Self::Everyone),
            Written::Header(header) => {
                header.header.clone().map(Self::Header).ok_or_else(String::new)
            }
            Written::Certificate(_) => Err(String::new()),
        }
    }

    /// The caller of a request. A request without one is rejected by the layer.
    pub(crate) async fn caller(&self, head: &Parts) -> Caller {
        Caller(match self {
            Self::Everyone => Some(Scope::anonymous()),
            Self::Header(name) => only(head, name).map(Scope::new),
        })
    }
}

/// The value of a header that is there once.
fn only<'a>(head: &'a Parts, name: &HeaderName) -> Option<&'a [u8]> {
    let mut values = head.headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) if !value.is_empty() => Some(value.as_bytes()),
        _ => None,
    }
}
