//! The store contract as runnable checks, for authors of stores.
//!
//! Each check is an async function named after the promise that it holds a store to; [`run`] holds it to all of them.
//! A check panics when the promise is broken, and says where in the suite and what was found instead. It uses keys
//! of its own that nobody else has, so checks may run side by side, and against a server that is in use.
//!
//! Two promises cannot be tried from the outside and are left to the store's own tests: that a damaged record is an
//! error, and that a full store refuses new keys.
//!
//! All leases, retentions and waits are short multiples of a `unit`, and the suite waits by [`tokio::time::sleep`].
//! For a store that goes by tokio's clock, pause that clock and take a second. For one with a clock of its own, take
//! some 50 times the time that one operation needs, and no less than 150 ms; a whole run then lasts about 11 units.
//!
//! ```
//! use std::time::Duration;
//! use tower_idempotency::MemoryStore;
//! use tower_idempotency::store::conformance;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! tokio::time::pause();
//! conformance::run(&MemoryStore::new(), Duration::from_secs(1)).await;
//! # })
//! ```

// A check that fails is meant to panic, and says so once, above.
#![allow(clippy::missing_panics_doc, clippy::expect_used)]

use std::time::Duration;

use super::Store;

mod answers;
mod contend;
mod contender;
mod expiry;
mod fencing;
mod given;
mod gone;
mod inspection;
mod leases;
mod release;
mod takeover;
mod together;
mod told;
mod waiting;

pub use answers::*;
pub use contend::*;
pub use expiry::*;
pub use fencing::*;
pub use gone::*;
pub use inspection::*;
pub use leases::*;
pub use release::*;
pub use takeover::*;
pub use waiting::*;

/// Runs every check. `unit` is the quantum of all leases, retentions and waits; see the [module](self).
pub async fn run<S: Store>(store: &S, unit: Duration) {
    /// Polls all of the named checks side by side.
    macro_rules! side_by_side {
        ($($check:ident),+ $(,)?) => {
            together::all([$(Box::pin($check(store, unit)) as together::Check<'_>),+]).await
        };
    }

    // These are busy and hardly look at the clock, so they run by themselves, one after another.
    ping_succeeds(store, unit).await;
    a_first_reserve_acquires(store, unit).await;
    of_many_contenders_one_acquires(store, unit).await;
    a_loser_settles_nothing(store, unit).await;
    a_lease_settles_no_other_key(store, unit).await;
    another_operation_is_told_whatever_the_state(store, unit).await;
    a_success_is_found_byte_for_byte(store, unit).await;
    a_failure_is_found_byte_for_byte(store, unit).await;
    a_body_of_any_size_is_kept(store, unit).await;
    a_failed_record_is_taken_over_only_when_asked(store, unit).await;
    only_the_failure_that_was_awaited_is_taken_over(store, unit).await;
    of_many_contenders_one_takes_over_a_failed_record(store, unit).await;
    a_small_answer_leaves_nothing_of_a_large_one(store, unit).await;
    attempts_are_counted(store, unit).await;
    release_frees_the_key(store, unit).await;
    a_released_attempt_leaves_the_failure_that_it_took_over(store, unit).await;
    tokens_never_repeat(store, unit).await;
    a_settling_write_may_be_sent_twice(store, unit).await;
    a_settled_record_is_not_settled_otherwise(store, unit).await;
    renew_revives_nothing(store, unit).await;
    to_inspect_a_free_key_reserves_nothing(store, unit).await;
    an_inspection_tells_the_record_whole(store, unit).await;
    a_response_is_stored_though_the_record_was_released(store, unit).await;
    nothing_is_stored_where_another_attempt_holds_the_key(store, unit).await;
    // Its margins are the narrowest, so nothing runs beside it.
    fractions_of_a_unit_are_kept(store, unit).await;

    // These spend their time waiting.
    side_by_side![
        a_running_attempt_is_not_abandoned_before_its_lease_lapses,
        an_abandoned_record_is_taken_over_only_when_asked,
        of_many_contenders_one_takes_over_an_abandoned_record,
        an_abandoned_record_of_another_operation_is_never_taken_over,
        an_inspection_tells_abandoned_from_running,
        renew_extends_lease_and_retention,
        a_stranger_keeps_no_lease_alive,
        a_late_owner_may_still_settle_what_nobody_took_over,
        a_late_owner_may_still_renew_what_nobody_took_over,
        a_late_writer_changes_nothing,
        a_late_writer_does_not_disturb_a_finished_record,
        a_released_attempt_leaves_the_abandoned_record_that_it_took_over,
        a_failure_that_was_put_back_expires,
        a_reservation_that_never_began_leaves_what_it_found,
        the_late_owner_of_a_record_that_was_put_back_may_settle_and_renew,
        a_response_is_stored_though_the_record_expired,
        a_response_is_stored_again_after_it_expired,
        a_writer_whose_record_expired_disturbs_no_newcomer,
        a_dropped_reserve_holds_the_key_no_longer_than_its_lease,
        a_pending_record_expires,
        a_success_expires,
        a_failure_expires,
        retention_counts_from_completion,
        a_lost_renew_keeps_no_finished_record,
        the_shortest_times_still_pass,
        a_waiter_learns_soon_that_the_record_was_completed,
        a_waiter_learns_soon_that_the_record_failed,
        a_waiter_learns_soon_that_the_key_was_released,
        a_waiter_learns_soon_that_a_later_attempt_was_released,
        a_change_before_the_wait_is_not_missed,
        a_wait_ends_by_its_bound,
        many_waiters_all_learn_of_the_change,
    ];
}
