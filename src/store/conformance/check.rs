//! The list of the checks, and how one of them runs.

use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::time::Duration;

use super::failure::{Checked, FailureKind, Flaw};
use super::together::Boxed;
use super::trial::{Slowest, Trial};
use super::{Failure, Promise, checks};
use crate::store::Store;

/// One check of a store: a sentence that a correct store makes true.
///
/// A check uses keys of its own. It can run alone, beside the others, and on a store that is in
/// use.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Check {
    which: Which,
    name: &'static str,
    promise: Option<Promise>,
    phase: Phase,
}

/// A check that has run, with its slowest operation.
pub(super) type Measured = (Check, Result<(), Failure>, Slowest);

/// What a check spends its time with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Busy,
    Waits,
}

impl Check {
    /// The check with this name.
    pub fn named(name: &str) -> Option<Self> {
        all().find(|check| check.name == name)
    }

    /// What a correct store makes true, as the name of a test.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The promise that it tests; `None` for the check of the unit.
    pub fn promise(&self) -> Option<Promise> {
        self.promise
    }

    /// Runs the check. `unit` is the quantum of all leases, retentions and waits; see the
    /// [module](super#the-unit).
    ///
    /// # Errors
    ///
    /// The [`Failure`] contains the expected behavior of the store and its actual reply.
    pub async fn run<S: Store>(&self, store: &S, unit: Duration) -> Result<(), Failure> {
        self.measured(store, unit).await.1
    }

    /// Runs the check, and measures its operations.
    pub(super) async fn measured<S: Store>(self, store: &S, unit: Duration) -> Measured {
        let trial = Trial::new(store, unit);
        let result = caught(perform(self.which, &trial)).await;
        let slowest = trial.slowest();
        trial.clear().await;
        (self, result.map_err(|flaw| Failure::new(self, flaw)), slowest)
    }

    /// Whether it spends its time waiting.
    pub(super) fn waits(&self) -> bool {
        self.phase == Phase::Waits
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A panic of the store is a flaw, so that the other checks run.
async fn caught(mut check: Boxed<'_, Checked>) -> Checked {
    std::future::poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| check.as_mut().poll(cx)));
        polled.unwrap_or_else(|panic| Err(panicked(&*panic)).into())
    })
    .await
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Flaw {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Flaw {
        kind: FailureKind::Panicked,
        step: "an operation".into(),
        expected: "a reply".into(),
        said: format!("a panic: {}", text.unwrap_or("without a message")),
        at: Location::caller(),
    }
}

/// Hands the names of all checks to a macro, each with its file, its promise, and whether it waits.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_checks {
    ($callback:ident $($arguments:tt)*) => {
        $crate::$callback! { $($arguments)*
            [pace an_operation_takes_a_quarter_of_a_unit_at_most None Busy]
            [contend ping_succeeds Some(Look) Busy]
            [contend a_first_reserve_acquires Some(Reserve) Busy]
            [contend of_many_contenders_one_acquires Some(Reserve) Busy]
            [races of_parallel_contenders_one_acquires Some(Reserve) Busy]
            [contend another_operation_finds_the_record_in_every_state Some(TakeOver) Busy]
            [takeover a_failed_record_is_taken_over_only_when_asked Some(TakeOver) Busy]
            [takeover only_the_failure_that_was_awaited_is_taken_over Some(TakeOver) Busy]
            [takeover of_many_contenders_one_takes_over_a_failed_record Some(TakeOver) Busy]
            [races of_parallel_contenders_one_takes_over_a_failed_record Some(TakeOver) Busy]
            [takeover attempts_are_counted Some(TakeOver) Busy]
            [takeover an_abandoned_record_is_taken_over_only_when_asked Some(TakeOver) Waits]
            [takeover of_many_contenders_one_takes_over_an_abandoned_record Some(TakeOver) Waits]
            [races of_parallel_contenders_one_takes_over_an_abandoned_record Some(TakeOver) Waits]
            [takeover an_abandoned_record_of_another_operation_is_never_taken_over Some(TakeOver) Waits]
            [contend a_loser_settles_nothing Some(Token) Busy]
            [contend a_lease_settles_no_other_key Some(Token) Busy]
            [contend tokens_never_repeat Some(Token) Busy]
            [fencing a_settling_write_may_be_sent_twice Some(Token) Busy]
            [fencing a_settled_record_is_not_settled_otherwise Some(Token) Busy]
            [races of_parallel_writes_one_settles_the_attempt Some(Token) Busy]
            [races a_late_writer_or_a_parallel_take_over_wins Some(Token) Waits]
            [leases renew_revives_nothing Some(Token) Busy]
            [leases another_token_keeps_no_lease_alive Some(Token) Waits]
            [fencing a_late_writer_changes_nothing Some(Token) Waits]
            [fencing a_late_writer_does_not_disturb_a_finished_record Some(Token) Waits]
            [fencing a_writer_whose_record_expired_disturbs_no_newcomer Some(Token) Waits]
            [leases a_late_owner_may_still_settle_what_was_not_taken_over Some(Token) Waits]
            [leases a_late_owner_may_still_renew_what_was_not_taken_over Some(Token) Waits]
            [release release_frees_the_key Some(Release) Busy]
            [release a_released_attempt_leaves_the_failure_that_it_took_over Some(Release) Busy]
            [release a_released_attempt_leaves_the_abandoned_record_that_it_took_over Some(Release) Waits]
            [release a_failure_that_was_put_back_expires Some(Release) Waits]
            [release a_reservation_that_never_began_leaves_what_it_found Some(Release) Waits]
            [release the_late_owner_of_a_record_that_was_put_back_may_settle_and_renew Some(Release) Waits]
            [gone a_response_is_stored_though_the_record_was_released Some(Gone) Busy]
            [gone nothing_is_stored_where_another_attempt_holds_the_key Some(Gone) Busy]
            [gone a_response_is_stored_though_the_record_expired Some(Gone) Waits]
            [gone a_response_is_stored_again_after_it_expired Some(Gone) Waits]
            [leases a_running_attempt_is_not_abandoned_before_its_lease_lapses Some(Clock) Waits]
            [leases renew_extends_lease_and_retention Some(Clock) Waits]
            [leases a_lease_that_is_given_up_has_lapsed_at_once Some(Clock) Busy]
            [leases a_dropped_reserve_holds_the_key_no_longer_than_its_lease Some(Clock) Waits]
            [expiry a_pending_record_expires Some(Clock) Waits]
            [expiry a_success_expires Some(Clock) Waits]
            [expiry a_failure_expires Some(Clock) Waits]
            [expiry retention_counts_from_completion Some(Clock) Waits]
            [expiry a_lost_renew_keeps_no_finished_record Some(Clock) Waits]
            [expiry fractions_of_a_unit_count Some(Clock) Waits]
            [expiry the_shortest_times_still_pass Some(Clock) Waits]
            [eviction a_live_record_is_never_evicted Some(Eviction) Busy]
            [responses a_success_is_found_byte_for_byte Some(Whole) Busy]
            [responses a_failure_is_found_byte_for_byte Some(Whole) Busy]
            [responses a_success_of_any_size_is_stored Some(Whole) Busy]
            [responses a_failure_of_any_size_is_stored Some(Whole) Busy]
            [takeover a_small_response_leaves_nothing_of_a_large_one Some(Whole) Busy]
            [inspection to_inspect_a_free_key_reserves_nothing Some(Look) Busy]
            [inspection an_inspection_reads_the_record_whole Some(Look) Busy]
            [inspection an_inspection_tells_abandoned_from_running Some(Look) Waits]
            [looks an_inspection_leaves_all_times_as_they_are Some(Look) Waits]
            [looks a_wait_leaves_all_times_as_they_are Some(Look) Waits]
            [waiting a_waiter_learns_soon_that_the_record_was_completed Some(Look) Waits]
            [waiting a_waiter_learns_soon_that_the_record_failed Some(Look) Waits]
            [waiting a_waiter_learns_soon_that_the_key_was_released Some(Look) Waits]
            [waiting a_waiter_learns_soon_that_a_later_attempt_was_released Some(Look) Waits]
            [waiting a_waiter_learns_soon_that_the_lease_was_given_up Some(Look) Waits]
            [waiting a_change_before_the_wait_is_not_missed Some(Look) Waits]
            [waiting a_wait_ends_by_its_bound Some(Look) Waits]
            [waiting waits_on_a_record_that_does_not_change_take_time Some(Look) Waits]
            [waiting many_waiters_all_learn_of_the_change Some(Look) Waits]
            [operators an_intervention_applies_once_and_leaves_an_entry Some(Intervene) Busy]
            [operators an_intervention_leaves_a_record_that_has_moved_on Some(Intervene) Busy]
            [operators an_intervention_fences_the_attempt Some(Intervene) Busy]
            [operators an_intervention_applies_again_to_a_record_that_was_written_anew Some(Intervene) Busy]
            [operators of_parallel_interventions_one_applies Some(Intervene) Busy]
            [operators a_list_has_each_record_once Some(Intervene) Busy]
            [operators an_intervention_on_an_abandoned_record_leaves_one_that_was_renewed Some(Intervene) Waits]
        }
    };
}

/// Makes a test of each check of a store.
///
/// Each test gets the attributes. The store and the unit are expressions, which every test
/// evaluates for itself and may await. The [module](crate::store::conformance#the-unit) says which
/// unit suits which store.
///
/// ```
/// use std::time::Duration;
/// use tower_idempotency::MemoryStore;
///
/// tower_idempotency::conformance_tests! {
///     #[tokio::test(start_paused = true)]
///     run(MemoryStore::new(), Duration::from_secs(1));
/// }
/// ```
#[macro_export]
macro_rules! conformance_tests {
    ($(#[$attribute:meta])* run($store:expr, $unit:expr $(,)?) $(;)?) => {
        $crate::__conformance_checks! { __conformance_tests [$(#[$attribute])*] [$store] [$unit] }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    ($attributes:tt $store:tt $unit:tt $([$file:ident $check:ident $($promise:tt)*])+) => {
        $($crate::__conformance_test! { $attributes $store $unit $check })+
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_test {
    ([$($attributes:tt)*] [$store:expr] [$unit:expr] $check:ident) => {
        $($attributes)*
        async fn $check() {
            let check = $crate::store::conformance::Check::named(stringify!($check));
            let Some(check) = check else { unreachable!("the check is in the list") };
            if let Err(failure) = check.run(&$store, $unit).await {
                panic!("{failure}");
            }
        }
    };
}

/// Makes what this module needs of the list.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_list {
    ($([$file:ident $name:ident $promise:ident $(($which:ident))? $phase:ident])+) => {
        /// One variant for each check.
        #[allow(non_camel_case_types)]
        #[derive(Clone, Copy, PartialEq, Eq)]
        enum Which {
            $($name),+
        }

        const ALL: &[Check] = &[$(Check {
            which: Which::$name,
            name: stringify!($name),
            promise: $promise $((Promise::$which))?,
            phase: Phase::$phase,
        }),+];

        fn perform<'t, S: Store>(which: Which, trial: &'t Trial<'t, S>) -> Boxed<'t, Checked> {
            match which {
                $(Which::$name => Box::pin(checks::$file::$name(trial))),+
            }
        }
    };
}

__conformance_checks! { __conformance_list }

pub(super) fn all() -> impl Iterator<Item = Check> {
    ALL.iter().copied()
}
