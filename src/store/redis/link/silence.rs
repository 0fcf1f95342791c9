//! How long a server has owed a reply.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::runtime::lock::lock;

/// Begins with a command, and ends with the next bytes of the server.
#[derive(Default)]
pub(super) struct Silence(Mutex<Option<Instant>>);

impl Silence {
    /// Notes that a command is about to be sent.
    pub(super) fn begin(&self) {
        lock(&self.0).get_or_insert_with(Instant::now);
    }

    /// Notes that the server has said something.
    pub(super) fn end(&self) {
        *lock(&self.0) = None;
    }

    /// How long the server has been silent while commands wait.
    pub(super) fn lasts(&self) -> Duration {
        lock(&self.0).map_or(Duration::ZERO, |since| since.elapsed())
    }
}
