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
}

impl Statements {
    pub(super) fn new(names: &Names, prepared: bool) -> Self {
        let records = names.to_string();
        let read = |source| Statement::new(source, &records, prepared);
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
        }
    }
}
