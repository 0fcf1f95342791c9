//! The table of rejections, as other languages read it.

use serde::Deserialize;

const VECTORS: &str = include_str!("../../vectors/rejections.json");

/// A row: what is fixed about one kind of rejection.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Row {
    pub(crate) code: String,
    pub(crate) variant: String,
    pub(crate) title: String,
    /// The default, and then those that a setting chooses from.
    pub(crate) statuses: Vec<u16>,
    #[cfg_attr(not(feature = "grpc"), allow(dead_code))]
    pub(crate) grpc: String,
    pub(crate) retry_after: bool,
    pub(crate) should_retry: Option<bool>,
    pub(crate) had_begun: bool,
    #[cfg_attr(not(feature = "client"), allow(dead_code))]
    pub(crate) disposition: String,
}

#[derive(Deserialize)]
struct Table {
    rows: Vec<Row>,
}

/// Every row of the table.
pub(crate) fn rejections() -> Vec<Row> {
    let table: Table = serde_json::from_str(VECTORS).unwrap();
    assert!(table.rows.len() > 10);
    table.rows
}

/// What to do about a code that the table does not have.
pub(crate) fn no_row(code: &str) -> String {
    format!(
        "the code `{code}` is not in tests/vectors/rejections.json. If its row in \
         src/http/rejection/kinds.rs is new, run \
         `UPDATE_VECTORS=1 cargo test --all-features --lib rejection`"
    )
}
