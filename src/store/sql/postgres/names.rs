//! Where the table is, and the statements with its name in them.

use std::fmt;

use super::statement::Statement;
use crate::store::Identifier;

/// The name of the table, in quotes, behind that of its schema if one is set.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) schema: Option<Identifier>,
    pub(super) table: Identifier,
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{schema}.")?;
        }
        self.table.fmt(f)
    }
}

impl Names {
    /// The table of the audit.
    pub(super) fn audit(&self) -> String {
        self.beside("_audit")
    }

    /// The view for people.
    pub(super) fn view(&self) -> String {
        self.beside("_view")
    }

    /// The name of a table or a view in the same schema.
    fn beside(&self, end: &str) -> String {
        let schema = self.schema.as_ref().map(|schema| format!("{schema}."));
        format!("{}{}", schema.unwrap_or_default(), self.of_index(end))
    }

    /// The name of an index. It is always in the schema of its table.
    pub(super) fn of_index(&self, end: &str) -> String {
        format!("\"{}{end}\"", self.table.as_str())
    }
}

/// Every statement of a store, made once.
pub(super) struct Statements {
    pub(super) reserve: Statement,
    pub(super) take_over: Statement,
    pub(super) settle: Statement,
    pub(super) write_anew: Statement,
    pub(super) release: Statement,
    pub(super) put_back: Statement,
    pub(super) renew: Statement,
    pub(super) inspect: Statement,
    pub(super) sweep: Statement,
    pub(super) ping: Statement,
    pub(super) claim: Statement,
    pub(super) mark: Statement,
    pub(super) whose: Statement,
    pub(super) complete: Statement,
    pub(super) settle_apart: Statement,
    pub(super) count: Statement,
    pub(super) info: Statement,
    pub(super) show: Statement,
    pub(super) history: Statement,
    pub(super) stats: Statement,
    pub(super) free: Statement,
    pub(super) settle_by_hand: Statement,
    pub(super) intervened: Statement,
    pub(super) sweep_audit: Statement,
    pub(super) audit_rights: Statement,
}

impl Statements {
    pub(super) fn new(names: &Names, prepared: bool) -> Self {
        let (records, audit) = (names.to_string(), names.audit());
        let read =
            |source: &str| Statement::new(&source.replace("{audit}", &audit), &records, prepared);
        let info = read(include_str!("info.sql"));
        Self {
            reserve: read(include_str!("reserve.sql")),
            take_over: read(include_str!("take_over.sql")),
            settle: read(include_str!("settle.sql")),
            write_anew: read(include_str!("write_anew.sql")),
            release: read(include_str!("release.sql")).once(),
            put_back: read(include_str!("put_back.sql")).once(),
            renew: read(include_str!("renew.sql")),
            inspect: read(include_str!("inspect.sql")),
            sweep: read(include_str!("sweep.sql")),
            ping: read(include_str!("ping.sql")),
            claim: read(include_str!("claim.sql")),
            mark: read(include_str!("mark.sql")),
            whose: read(include_str!("whose.sql")),
            complete: read(include_str!("complete.sql")).once(),
            settle_apart: read(include_str!("settle_apart.sql")).once(),
            count: read(include_str!("count.sql")).once(),
            show: info.followed_by("  AND key = $1::bytea"),
            info,
            history: read(include_str!("history.sql")),
            stats: read(include_str!("stats.sql")),
            free: read(include_str!("free.sql")),
            settle_by_hand: read(include_str!("settle_by_hand.sql")),
            intervened: read(include_str!("intervened.sql")),
            sweep_audit: read(include_str!("sweep_audit.sql")).once(),
            audit_rights: read(include_str!("audit_rights.sql")),
        }
    }
}
