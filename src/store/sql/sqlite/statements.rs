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
    pub(super) upgrade: SqlStr,
    pub(super) operator_index: SqlStr,
    pub(super) info: SqlStr,
    pub(super) show: SqlStr,
    pub(super) stats: SqlStr,
    pub(super) history: SqlStr,
    pub(super) intervened: SqlStr,
    pub(super) free: SqlStr,
    pub(super) settle_by_hand: SqlStr,
    pub(super) note: SqlStr,
    pub(super) sweep_audit: SqlStr,
    /// Reads the version of the layout.
    pub(super) version: SqlStr,
    /// The name of the table that holds the version, without quotes.
    pub(super) version_table: String,
    /// The name of the index for operators, without quotes.
    pub(super) operators: String,
}

impl Statements {
    /// The name of the table is valid: that of an `Identifier`, or the default.
    pub(super) fn on(table: &str) -> Self {
        let text = |text: &str| -> SqlStr {
            let text = text
                .replace("{records}", &format!("\"{table}\""))
                .replace("{expires_at}", &format!("\"{table}_expires_at\""))
                .replace("{version}", &format!("\"{table}_version\""))
                .replace("{audit}", &format!("\"{table}_audit\""))
                .replace("{audit_key}", &format!("\"{table}_audit_key\""))
                .replace("{audit_expires_at}", &format!("\"{table}_audit_expires_at\""))
                .replace("{view}", &format!("\"{table}_view\""))
                .replace("{operators}", &format!("\"{table}_operators\""));
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
            upgrade: text(include_str!("upgrade.sql")),
            operator_index: text(include_str!("operator_index.sql")),
            info: text(include_str!("info.sql")),
            show: text(concat!(include_str!("info.sql"), "  AND key = ?1")),
            stats: text(include_str!("stats.sql")),
            history: text(include_str!("history.sql")),
            intervened: text(include_str!("intervened.sql")),
            free: text(include_str!("free.sql")),
            settle_by_hand: text(include_str!("settle_by_hand.sql")),
            note: text(include_str!("note.sql")),
            sweep_audit: text(include_str!("sweep_audit.sql")),
            version: text("SELECT version FROM {version}"),
            version_table: format!("{table}_version"),
            operators: format!("{table}_operators"),
        }
    }
}
