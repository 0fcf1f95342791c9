//! What a store finds when it looks at its server.

use std::fmt;

#[cfg(any(feature = "redis", feature = "postgres"))]
pub(super) mod clock;

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
            CheckResult::NotApplicable => write!(f, "none  {name}: {found}"),
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
    /// The store cannot have it. A [`Checklist`](crate::operate::Checklist) leaves it out.
    NotApplicable,
}

/// An item that a store may look at: its name, why it matters, and how to close it.
pub(crate) struct Question {
    name: &'static str,
    why: &'static str,
    remedy: &'static str,
}

impl Question {
    pub(crate) const fn new(name: &'static str, why: &'static str, remedy: &'static str) -> Self {
        Self { name, why, remedy }
    }

    pub(crate) fn found(&self, is_fine: bool, found: impl Into<String>) -> CheckItem {
        CheckItem::new(self.name, is_fine, found, self.why, self.remedy)
    }

    pub(crate) fn unseen(&self) -> CheckItem {
        self.looked("not visible here")
    }

    /// An item that this finding does not decide.
    pub(crate) fn looked(&self, found: &str) -> CheckItem {
        CheckItem { result: CheckResult::Unseen, ..self.found(false, found) }
    }

    pub(crate) fn not_applicable(&self) -> CheckItem {
        let found = "the store cannot have it";
        CheckItem { result: CheckResult::NotApplicable, ..self.found(true, found) }
    }

    /// The same question with the remedy for one store.
    #[cfg(any(feature = "redis", feature = "postgres", feature = "sqlite"))]
    pub(crate) const fn remedy(self, remedy: &'static str) -> Self {
        Self { remedy, ..self }
    }
}

/// Whether records are deleted. A process that sweeps is not visible, but what it leaves is.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) fn swept(is_left: bool) -> CheckItem {
    if is_left {
        SWEEP.found(false, "records are left that expired an hour ago")
    } else {
        SWEEP.looked("no record is left that expired an hour ago")
    }
}

const WRITERS: &str = "a writer of the store can delete a record, and so cause a second effect";

pub(crate) const SERVER: Question = Question::new(
    "server",
    "a replica takes no writes, so new keys get 503, and an old version lacks what the store needs",
    "name the primary in the URL of the store; use Redis 6.2, PostgreSQL 13 or a later version",
);
pub(crate) const CLOCK: Question = Question::new(
    "clock",
    "records expire by the clock of the store: when it is set right, they end early or late",
    "run NTP on the server of the store",
);
pub(crate) const DURABILITY: Question = Question::new(
    "durability",
    "a crash of the store loses its latest keys, and their operations run again",
    "let the store write to its disk before it replies",
);
pub(crate) const EVICTION: Question = Question::new(
    "eviction",
    "an evicted record lets its operation run again",
    "let the store reject writes when it is full",
);
pub(crate) const SWEEP: Question = Question::new(
    "sweep",
    "expired rows fill the disk",
    "spawn `sweep_every` of the store in one process or in all",
);
pub(crate) const DEAD_CLIENTS: Question = Question::new(
    "dead clients",
    "a statement that waits for a lock waits on after its client is gone, and then takes effect",
    "let the database look whether the client of a statement is still there",
);
pub(crate) const TLS: Question = Question::new(
    "TLS",
    "a reader of the network sees responses and the password of the store",
    "connect with TLS, and verify the certificate",
);
pub(crate) const OF_ITS_OWN: Question =
    Question::new("store of its own", WRITERS, "let no other service write into it");
pub(crate) const PERMISSIONS: Question =
    Question::new("permissions", WRITERS, "limit the user of the store to what the layer needs");
pub(crate) const REPLICAS: Question = Question::new(
    "replicas",
    "a failover can lose the latest reservations, and their operations run again",
    "let the store wait for a replica before it replies",
);
