//! The keys that tokens are verified by.

use std::path::Path;
use std::sync::Arc;

use crate::file::Beside;

mod fetch;
mod server;
mod set;

pub(crate) use server::KeyServers;
pub(crate) use set::KeySet;

use server::KeyServer;

/// Where the keys of a scope are.
pub(crate) enum Keys {
    File(Arc<KeySet>),
    Server(Arc<KeyServer>),
}

impl Keys {
    pub(super) fn known(&self) -> Option<Arc<KeySet>> {
        match self {
            Self::File(set) => Some(Arc::clone(set)),
            Self::Server(server) => server.known(),
        }
    }

    /// Fetches the keys again, unless that was done a moment ago.
    pub(super) async fn refresh(&self) {
        if let Self::Server(server) = self {
            server.refresh().await;
        }
    }

    /// Whether the last fetch failed, so that there may be other keys.
    pub(super) fn are_out_of_date(&self) -> bool {
        match self {
            Self::File(_) => false,
            Self::Server(server) => server.is_out_of_date(),
        }
    }
}

/// What a plan opens for its scopes.
pub(crate) struct Sources<'a> {
    /// Where relative paths begin.
    pub(crate) folder: &'a Path,
    pub(crate) servers: &'a mut KeyServers,
    /// The addresses of servers that are used.
    pub(crate) used: &'a mut Vec<String>,
    pub(crate) beside: &'a mut Beside,
}

impl Sources<'_> {
    /// The keys at an address or in a file.
    ///
    /// # Errors
    ///
    /// A text that says what to correct.
    pub(super) fn keys(&mut self, jwks: &str) -> Result<Keys, String> {
        if jwks.contains("://") {
            let server = self.servers.open(jwks)?;
            self.used.push(jwks.to_owned());
            return Ok(Keys::Server(server));
        }
        let file = self.folder.join(jwks);
        self.beside.note(file.clone());
        let wrong = |why: String| format!("{}: {why}", file.display());
        let text = std::fs::read(&file).map_err(|error| wrong(error.to_string()))?;
        KeySet::parse(&text).map(Arc::new).map(Keys::File).map_err(wrong)
    }
}
