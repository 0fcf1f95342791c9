//! The statements of one store, made once; each connection prepares each of them once.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

pub(super) struct Statements {
    pub(super) find: SqlStr,
    pub(super) reserve: SqlStr,
    pub(super) take_over: SqlStr,
    pub(super) settle: SqlStr,
    pub(super) settled: SqlStr,
    pub(super) write_anew: SqlStr,
    pub(super) release: SqlStr,
    pub(super) put_back: SqlStr,
    pub(super) count: SqlStr,
    pub(super) renew: SqlStr,
    pub(super) sweep: SqlStr,
    pub(super) ping: SqlStr,
    pub(super) check: SqlStr,
    pub(super) touch: SqlStr,
    pub(super) layout: SqlStr,
    /// Reads the version of the layout.
    pub(super) version: SqlStr,
    /// The name of the table that holds the version, without quotes.
    pub(super) version_table: String,
}

impl Statements {
    /// The name of the table is valid: that of an `Identifier`, or the default.
    pub(super) fn on(table: &str) -> Self {
        let text = |text: &str| -> SqlStr {
            let text = text
                .replace("{records}", &format!("\"{table}\""))
                .replace("{expires_at}", &format!("\"{table}_expires_at\""))
                .replace("{version}", &format!("\"{table}_version\""));
            // Shared, so that no use copies it.
            AssertSqlSafe(Arc::<str>::from(text)).into_sql_str()
        };
        Self {
            find: text(include_str!("find.sql")),
            reserve: text(include_str!("reserve.sql")),
            take_over: text(include_str!("take_over.sql")),
            settle: text(include_str!("settle.sql")),
            settled: text(include_str!("settled.sql")),
            write_anew: text(include_str!("write_anew.sql")),
            release: text(include_str!("release.sql")),
            put_back: text(include_str!("put_back.sql")),
            count: text(include_str!("count.sql")),
            renew: text(include_str!("renew.sql")),
            sweep: text(include_str!("sweep.sql")),
            ping: text(include_str!("ping.sql")),
            check: text(include_str!("check.sql")),
            touch: text(include_str!("touch.sql")),
            layout: text(include_str!("layout.sql")),
            version: text("SELECT version FROM {version}"),
            version_table: format!("{table}_version"),
        }
    }
}
