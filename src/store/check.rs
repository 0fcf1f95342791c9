//! What a store finds when it looks at its server.

use std::fmt;
#[cfg(any(feature = "redis", feature = "postgres"))]
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// One item of a [`Checklist`](crate::operate::Checklist).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckItem {
    /// The name of the item in the guide.
    pub name: &'static str,
    /// Whether it is ready for production.
    pub result: CheckResult,
    /// What was found.
    pub found: String,
    /// Why it matters.
    pub why: &'static str,
    /// How to close it.
    pub remedy: &'static str,
}

impl CheckItem {
    /// An item that a store has looked at.
    pub fn new(
        name: &'static str,
        is_fine: bool,
        found: impl Into<String>,
        why: &'static str,
        remedy: &'static str,
    ) -> Self {
        let result = if is_fine { CheckResult::Passed } else { CheckResult::Open };
        Self { name, result, found: found.into(), why, remedy }
    }
}

impl fmt::Display for CheckItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, result, found, why, remedy } = self;
        match result {
            CheckResult::Passed => write!(f, "ok    {name}: {found}"),
            CheckResult::Open => write!(f, "OPEN  {name}: {found}; {why}: {remedy}"),
            CheckResult::Unseen => write!(f, "look  {name}: {found}; {why}: {remedy}"),
        }
    }
}

/// The result of one [`CheckItem`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CheckResult {
    /// Ready for production.
    Passed,
    /// Not ready for production.
    Open,
    /// It is not visible to the layer, so check it yourself.
    Unseen,
}

/// An item that a store may look at: its name, why it matters, and how to close it.
pub(crate) struct Question {
    name: &'static str,
    why: &'static str,
    remedy: &'static str,
}

impl Question {
    pub(crate) fn found(&self, is_fine: bool, found: impl Into<String>) -> CheckItem {
        CheckItem::new(self.name, is_fine, found, self.why, self.remedy)
    }

    pub(crate) fn unseen(&self) -> CheckItem {
        CheckItem { result: CheckResult::Unseen, ..self.found(false, "not visible here") }
    }
}

pub(crate) const CLOCK: Question = Question {
    name: "clock",
    why: "records expire by the clock of the store: when it is set right, they end early or late",
    remedy: "run NTP on the server of the store",
};
pub(crate) const DURABILITY: Question = Question {
    name: "durability",
    why: "a crash of the store loses its latest keys, and their operations run again",
    remedy: "set `appendonly yes` on Redis, `synchronous_commit = on` on PostgreSQL",
};
pub(crate) const EVICTION: Question = Question {
    name: "eviction",
    why: "an evicted record lets its operation run again",
    remedy: "set `maxmemory-policy noeviction` on Redis",
};
pub(crate) const SWEEP: Question = Question {
    name: "sweep",
    why: "expired rows fill the disk",
    remedy: "run `sweep_every` on PostgreSQL and SQLite",
};
pub(crate) const TLS: Question = Question {
    name: "TLS",
    why: "a reader of the network sees responses and the password of the store",
    remedy: "use `rediss://` or `sslmode=verify-full`",
};

/// How far the clock of a server may be from that of this process.
#[cfg(any(feature = "redis", feature = "postgres"))]
const SLACK: Duration = Duration::from_mins(1);

/// Compares a server's time, as the time since the Unix epoch, with that of this process.
#[cfg(any(feature = "redis", feature = "postgres"))]
pub(in crate::store) fn clock(server: Duration) -> CheckItem {
    let here = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let apart = server.abs_diff(here);
    CLOCK.found(apart <= SLACK, format!("{} ms from the clock of this process", apart.as_millis()))
}
