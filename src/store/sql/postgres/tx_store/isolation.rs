//! What the transactions of attempts see of one another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the transactions of attempts see of one another, as
/// [PostgreSQL](https://www.postgresql.org/docs/current/transaction-iso.html) describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Each statement sees what was committed before it began.
    ReadCommitted,
    /// One snapshot for the whole of an attempt.
    RepeatableRead,
    /// As if attempts ran one after another.
    Serializable,
}

/// The isolation that a store asks for, and the server's default as far as it is known. A clone
/// learns with it.
#[derive(Debug, Clone, Default)]
pub(super) struct Isolated {
    /// `None`: the default of the server, the role or the connection.
    wanted: Option<Isolation>,
    /// Whether the last transaction was serializable.
    was_serializable: Arc<AtomicBool>,
}

impl Isolated {
    pub(super) fn by(isolation: Isolation) -> Self {
        Self { wanted: Some(isolation), was_serializable: Arc::default() }
    }

    /// The clause of the `BEGIN`. Without one, a default that is stricter stays in force.
    pub(super) fn clause(&self) -> &'static str {
        match self.wanted {
            None => "",
            Some(Isolation::ReadCommitted) => " ISOLATION LEVEL READ COMMITTED",
            Some(Isolation::RepeatableRead) => " ISOLATION LEVEL REPEATABLE READ",
            Some(Isolation::Serializable) => " ISOLATION LEVEL SERIALIZABLE",
        }
    }

    /// Whether the next transaction is likely to be serializable.
    pub(super) fn is_serializable(&self) -> bool {
        match self.wanted {
            None => self.was_serializable.load(Ordering::Relaxed),
            Some(isolation) => isolation == Isolation::Serializable,
        }
    }

    pub(super) fn learn(&self, is_serializable: bool) {
        self.was_serializable.store(is_serializable, Ordering::Relaxed);
    }
}
