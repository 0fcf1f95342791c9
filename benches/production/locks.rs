//! The most backends that a pool of sixteen uses under thirty-two clients while other sessions have
//! locks.
//!
//! The table of the records is locked for a time, and then one business row. In the control, the
//! same handler runs without the layer, and its business table is locked.

use std::time::Duration;

use crate::postgres::crowd::{Mode, crowd};

/// Argument: the seconds that each lock lasts. Default: 20.
pub(crate) async fn run(arguments: &[&str]) {
    let seconds =
        arguments.first().map_or(20, |seconds| seconds.parse().expect("a number of seconds"));
    println!(
        "{:12} {:>14} {:>12} {:>12} {:>8} {:>18}",
        "", "table locked", "row locked", "longest ms", "keys", "payments per key"
    );
    for mode in [Mode::Control, Mode::Lease, Mode::Transaction] {
        let seen = crowd(mode, Duration::from_secs(seconds)).await;
        println!(
            "{:12} {:>14} {:>12} {:>12} {:>8} {:>18}",
            format!("{mode:?}"),
            seen.table,
            seen.row,
            seen.longest.as_millis(),
            seen.keys,
            format!("{:?}", seen.payments),
        );
    }
}
