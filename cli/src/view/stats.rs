//! Counts by state.

use tower_idempotency::store::operator::{StateStats, Stats};

use super::age::{known_age, size};
use super::table::{Column, Table};

/// The states in the order in which an operator cares, with `in-doubt`, which counts several.
pub(crate) fn states(stats: &Stats) -> [(&'static str, &StateStats); 6] {
    [
        ("in-doubt", &stats.in_doubt),
        ("abandoned", &stats.abandoned),
        ("failed", &stats.failed),
        ("not-retained", &stats.not_retained),
        ("in-flight", &stats.in_flight),
        ("success", &stats.success),
    ]
}

/// A row for each state.
pub(crate) fn table(stats: &Stats) -> Table {
    let mut table = Table::new([
        Column::left("STATE"),
        Column::right("RECORDS"),
        Column::right("BYTES"),
        Column::left("OLDEST"),
    ]);
    for (name, state) in states(stats) {
        let oldest = if state.count == 0 { None } else { state.oldest };
        table.row([
            name.into(),
            state.count.to_string().into(),
            size(state.bytes).into(),
            known_age(oldest).into(),
        ]);
    }
    table
}

/// The counts in one line.
pub(crate) fn line(stats: &Stats) -> String {
    let counts = states(stats).map(|(name, state)| format!("{name} {}", state.count));
    counts.join(", ")
}
