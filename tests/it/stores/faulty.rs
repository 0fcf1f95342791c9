//! The conformance suite finds the errors that stores are known to have.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use http::HeaderMap;
use tower_idempotency::store::conformance::{self, Check, FailureKind, Promise, Report};
use tower_idempotency::store::{
    Lease, NotRetained, Outcome, PendingRef, Record, Reservation, ReserveRequest, RetryFailed,
    ScopeDigest, Settlement, State, StorageKey, Store, StoreError, StoreErrorKind, StoredBody,
    Token,
};
use tower_idempotency::{Fingerprint, MemoryStore, PreviousAttempt};

use crate::support::with;

mod gaps;
mod operators;
mod touches;

const UNIT: Duration = Duration::from_secs(1);

/// The faults, and the list of all of them.
macro_rules! faults {
    ($($(#[$note:meta])* $fault:ident,)+) => {
        /// What a store may do wrong.
        #[derive(Debug, Clone, Copy, PartialEq)]
        enum Fault {
            $($(#[$note])* $fault,)+
        }

        const FAULTS: &[Fault] = &[$(Fault::$fault),+];
    };
}

faults! {
    /// A plain write where a write-if-absent was meant.
    OverwritesTheWinner,
    SettlesForAnyToken,
    ReusesTokens,
    ReleasesForAnyToken,
    ReleasesOnlyUnderTheSameNumber,
    DeletesOnEveryRelease,
    ForgetsTheTokenItReplaces,
    PutsBackUnderTheReleasedToken,
    PutsBackWithoutTheNumber,
    PutsBackWithoutTheStatus,
    PutsBackAFailureForAnAbandonedRecord,
    PutsBackRunning,
    PutsBackForTooShort,
    PutsBackWhatIsGone,
    CountsWhatNeverBegan,
    RenewsForTheReleasedLease,
    CompletesNothingThatIsGone,
    FailsNothingThatIsGone,
    ForgetsTheNumberOfWhatIsGone,
    StoresOverAnotherAttempt,
    RejectsWhatWasSentTwice,
    RevivesOnRenew,
    RenewsNothing,
    RenewsTheLeaseOnly,
    RenewsForAMomentAtLeast,
    TakesOverWithoutBeingAsked,
    TakesOverAnotherOperation,
    ForgetsTheFingerprint,
    ForgetsTheAttempts,
    NeverAbandons,
    AbandonsAtOnce,
    CountsInSeconds,
    TakesMillisecondsForSeconds,
    TakesZeroForNoEnd,
    NeverExpires,
    TurnsBodiesToText,
    LosesEmptyBodies,
    CutsLargeBodies,
    CollapsesHeaders,
    LosesTrailers,
    LosesTheRequestId,
    ChangesWhyThereIsNoBody,
    LosesFailedResponses,
    SleepsToTheBound,
    SleepsPastTheBound,
    WaiterReleases,
    ReservesToInspect,
    InspectsHeadsOnly,
    ReleasesNothing,
    /// Also where the other attempt runs for the same operation.
    StoresOverARunningAttempt,
    RenewsWhatIsGone,
    EvictsLiveRecords,
    /// The clock of this process goes on while tokio's, by which the store lives, is paused.
    JudgesByTheCallersClock,
    LosesTheScope,
    PanicsOnInspect,
    FailsOnInspect,
    /// Another caller may act between the look and the write.
    ReservesByAnEarlyLook,
    TakesOverByAnEarlyLook,
    SettlesByAnEarlyLook,
    InspectionRestartsTheLease,
    InspectionKeepsTheRecord,
    WaitRestartsTheLease,
    WaitKeepsTheRecord,
    EndsEveryWaitAtOnce,
    WaitsForALeaseThatWasGivenUp,
    ForgetsThatAHeaderIsSensitive,
}

use Fault::*;

#[tokio::test(start_paused = true)]
async fn the_suite_finds_every_fault_and_goes_on_after_it() {
    for &fault in FAULTS {
        let report = run(fault).await;
        println!("{fault:?}: {report}\n");
        assert!(!report.is_success(), "the suite should find that a store {fault:?}");
        let ran = report.passed().len() + report.failures().len();
        assert_eq!(ran, conformance::checks().count(), "the run ended early: {report}");
        assert!(!report.passed().is_empty(), "{report}");
    }
}

/// The words that an author of a store reads.
#[tokio::test(start_paused = true)]
async fn a_failure_names_the_check_the_promise_and_both_sides() {
    let report = run(SettlesForAnyToken).await;
    let failure = report
        .failures()
        .iter()
        .find(|failure| failure.check().name() == "a_loser_settles_nothing");
    let failure = failure.unwrap();
    assert_eq!(failure.kind(), FailureKind::Broken);
    assert_eq!(failure.promise(), Some(Promise::Token));
    assert_eq!((failure.expected(), failure.said()), ("LeaseLost", "Applied"));
    let text = failure.to_string();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines[..4],
        [
            "a_loser_settles_nothing broke promise 3, Only the current token settles",
            "  step:      renew: where no record is pending under the token",
            "  expected:  LeaseLost",
            "  the store: Applied",
        ]
    );
}

/// Each of these breaks one promise, and the suite says which.
#[tokio::test(start_paused = true)]
async fn the_suite_says_which_promise_is_broken() {
    let broken = [
        (OverwritesTheWinner, Promise::Reserve),
        (TakesOverAnotherOperation, Promise::TakeOver),
        (SettlesForAnyToken, Promise::Token),
        (DeletesOnEveryRelease, Promise::Release),
        (CompletesNothingThatIsGone, Promise::Gone),
        (JudgesByTheCallersClock, Promise::Clock),
        (EvictsLiveRecords, Promise::Eviction),
        (LosesTrailers, Promise::Whole),
        (SleepsPastTheBound, Promise::Look),
    ];
    for (fault, promise) in broken {
        let report = run(fault).await;
        let found = report.failures().iter().any(|failure| failure.promise() == Some(promise));
        assert!(found, "a store that {fault:?} breaks {promise}: {report}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_and_a_panic_of_the_store_are_not_a_broken_promise() {
    for (fault, kind) in [
        (PanicsOnInspect, FailureKind::Panicked),
        (FailsOnInspect, FailureKind::Error(StoreErrorKind::Unavailable)),
    ] {
        let report = run(fault).await;
        let kinds: Vec<_> = report.failures().iter().map(conformance::Failure::kind).collect();
        assert!(kinds.len() > 1 && kinds.iter().all(|found| *found == kind), "{report}");
    }
}

/// Faults that only a few checks were written for.
#[tokio::test(start_paused = true)]
async fn each_of_these_checks_finds_its_fault() {
    let found_by = [
        (ReservesByAnEarlyLook, "of_parallel_contenders_one_acquires"),
        (TakesOverByAnEarlyLook, "of_parallel_contenders_one_takes_over_a_failed_record"),
        (TakesOverByAnEarlyLook, "of_parallel_contenders_one_takes_over_an_abandoned_record"),
        (TakesOverByAnEarlyLook, "a_late_writer_or_a_parallel_take_over_wins"),
        (SettlesByAnEarlyLook, "a_late_writer_or_a_parallel_take_over_wins"),
        (SettlesByAnEarlyLook, "of_parallel_writes_one_settles_the_attempt"),
        (InspectionRestartsTheLease, "an_inspection_leaves_all_times_as_they_are"),
        (InspectionKeepsTheRecord, "an_inspection_leaves_all_times_as_they_are"),
        (WaitRestartsTheLease, "a_wait_leaves_all_times_as_they_are"),
        (WaitKeepsTheRecord, "a_wait_leaves_all_times_as_they_are"),
        (RenewsForAMomentAtLeast, "a_lease_that_is_given_up_has_lapsed_at_once"),
        (WaitsForALeaseThatWasGivenUp, "a_waiter_learns_soon_that_the_lease_was_given_up"),
        (EndsEveryWaitAtOnce, "waits_on_a_record_that_does_not_change_take_time"),
        (ForgetsThatAHeaderIsSensitive, "a_success_is_found_byte_for_byte"),
        (ForgetsThatAHeaderIsSensitive, "a_failure_is_found_byte_for_byte"),
    ];
    for (fault, check) in found_by {
        let check = Check::named(check).unwrap();
        let found = check.run(&Faulty::new(fault), UNIT).await;
        let kind = found.as_ref().map_err(conformance::Failure::kind);
        assert_eq!(kind, Err(FailureKind::Broken), "{check} of a store that {fault:?}: {found:?}");
    }
}

async fn run(fault: Fault) -> Report {
    conformance::run(&Faulty::new(fault), UNIT).await
}

/// A memory store with one fault.
struct Faulty {
    fault: Fault,
    inner: MemoryStore,
    /// The latest lease of each key.
    leases: Mutex<HashMap<StorageKey, Lease>>,
    /// The leases of all keys, the oldest first.
    order: Mutex<VecDeque<Lease>>,
    /// When each attempt began or was renewed, by the clock of this process.
    began: Mutex<HashMap<StorageKey, Instant>>,
    /// The records that stay longer because they were looked at.
    kept: Mutex<HashMap<StorageKey, (Record, tokio::time::Instant)>>,
}

impl Faulty {
    fn new(fault: Fault) -> Self {
        let (leases, order, began, kept) = Default::default();
        Self { fault, inner: MemoryStore::new(), leases, order, began, kept }
    }

    /// The lease that the store takes this one for.
    fn understood(&self, lease: &Lease) -> Lease {
        let leases = self.leases.lock().unwrap();
        match (self.fault, leases.get(&lease.key)) {
            (SettlesForAnyToken, Some(current)) => current.clone(),
            (ReusesTokens, Some(current)) if *lease.token.as_bytes() == REPEATED => current.clone(),
            _ => lease.clone(),
        }
    }

    fn shown(&self, token: Token) -> Token {
        if self.fault == ReusesTokens { Token::new(REPEATED) } else { token }
    }

    fn time(&self, time: Duration) -> Duration {
        match self.fault {
            CountsInSeconds => Duration::from_secs(time.as_secs()),
            TakesMillisecondsForSeconds => time * 1000,
            TakesZeroForNoEnd if time < Duration::from_millis(1) => Duration::MAX,
            NeverExpires => Duration::MAX,
            _ => time,
        }
    }

    fn stored(&self, outcome: &Outcome) -> Outcome {
        let mut stored = outcome.clone();
        match (self.fault, &mut stored.body) {
            (TurnsBodiesToText, StoredBody::Whole { bytes, .. }) => {
                *bytes = String::from_utf8_lossy(bytes).into_owned().into();
            }
            (LosesEmptyBodies, StoredBody::Whole { bytes, .. }) if bytes.is_empty() => {
                stored.body = StoredBody::NotRetained(NotRetained::Streamed);
            }
            (CutsLargeBodies, StoredBody::Whole { bytes, .. }) => bytes.truncate(1 << 19),
            (LosesTrailers, StoredBody::Whole { trailers, .. }) => *trailers = None,
            (ChangesWhyThereIsNoBody, StoredBody::NotRetained(why)) => {
                *why = NotRetained::TooLarge;
            }
            (CollapsesHeaders, _) => {
                let lines =
                    outcome.headers.iter().map(|(name, value)| (name.clone(), value.clone()));
                stored.headers = HeaderMap::new();
                for (name, value) in lines {
                    stored.headers.insert(name, value);
                }
            }
            (ForgetsThatAHeaderIsSensitive, _) => {
                stored.headers.values_mut().for_each(|value| value.set_sensitive(false));
            }
            (LosesTheRequestId, _) => stored.request_id = None,
            _ => {}
        }
        stored
    }

    fn acquired(&self, mut lease: Lease) -> Reservation {
        self.leases.lock().unwrap().insert(lease.key, lease.clone());
        self.order.lock().unwrap().push_back(lease.clone());
        self.began.lock().unwrap().insert(lease.key, Instant::now());
        lease.token = self.shown(lease.token);
        match self.fault {
            ForgetsTheAttempts => lease.attempt = 1,
            ForgetsTheTokenItReplaces => lease.replaces = None,
            LosesTheScope => lease.scope = ScopeDigest::UNSET,
            _ => {}
        }
        Reservation::Acquired(lease)
    }

    /// Discards the oldest record when there are too many.
    async fn evicts(&self) -> Result<(), StoreError> {
        let oldest = {
            let mut order = self.order.lock().unwrap();
            (self.fault == EvictsLiveRecords && order.len() > 150)
                .then(|| order.pop_front())
                .flatten()
        };
        if let Some(lease) = oldest {
            let _ = self.inner.release(&with(lease, |lease| lease.previous = None)).await?;
        }
        Ok(())
    }

    /// Waits as if the lease that was seen first could not end sooner.
    async fn waits_past_an_abandonment(
        &self,
        seen: &PendingRef,
        bound: Duration,
    ) -> Result<(), StoreError> {
        let until = tokio::time::Instant::now() + bound;
        self.inner.wait_for_change(seen, 0, bound).await?;
        if let Some(Record { state: State::Pending { abandoned: true }, token, .. }) =
            self.inner.inspect(&seen.key).await?
            && token == seen.token
        {
            tokio::time::sleep_until(until).await;
        }
        Ok(())
    }

    fn latest(&self, key: &StorageKey) -> Option<Lease> {
        self.leases.lock().unwrap().get(key).cloned()
    }

    /// The lease as the fault releases it.
    fn released(&self, lease: Lease) -> Lease {
        let latest = self.latest(&lease.key).unwrap_or_else(|| lease.clone());
        let is_later = lease.previous.is_some();
        match self.fault {
            ReleasesForAnyToken => latest,
            DeletesOnEveryRelease => with(lease, |lease| {
                lease.previous = None;
                lease.replaces = None;
            }),
            PutsBackUnderTheReleasedToken if is_later => {
                with(lease, |lease| lease.replaces = Some(lease.token))
            }
            PutsBackWithoutTheNumber => with(lease, |lease| lease.attempt = 1),
            PutsBackWithoutTheStatus if lease.previous != Some(PreviousAttempt::Abandoned) => {
                with(lease, |lease| {
                    lease.previous =
                        lease.previous.map(|_| PreviousAttempt::Failed { status: None });
                })
            }
            PutsBackAFailureForAnAbandonedRecord
                if lease.previous == Some(PreviousAttempt::Abandoned) =>
            {
                with(lease, |lease| lease.previous = Some(PreviousAttempt::Failed { status: None }))
            }
            PutsBackForTooShort => {
                with(lease, |lease| lease.retention = lease.retention.saturating_sub(lease.lease))
            }
            CountsWhatNeverBegan if latest.token == lease.token => {
                with(lease, |lease| lease.attempt = latest.attempt)
            }
            _ => lease,
        }
    }

    /// The lease as the fault stores a response under it; `None` if it does not.
    async fn storing(&self, lease: &Lease, nothing: Fault) -> Result<Option<Lease>, StoreError> {
        let lease = self.understood(lease);
        let is_gone = self.inner.inspect(&lease.key).await?.is_none();
        Ok(match self.fault {
            fault if is_gone && fault == nothing => None,
            ForgetsTheNumberOfWhatIsGone if is_gone => Some(with(lease, |lease| lease.attempt = 1)),
            StoresOverAnotherAttempt => {
                if let Some(latest) =
                    self.latest(&lease.key).filter(|latest| latest.token != lease.token)
                {
                    let _ =
                        self.inner.release(&with(latest, |lease| lease.previous = None)).await?;
                }
                Some(lease)
            }
            StoresOverARunningAttempt => {
                let pending = self.inner.inspect(&lease.key).await?;
                let pending =
                    pending.filter(|record| matches!(record.state, State::Pending { .. }));
                let latest = self.latest(&lease.key).filter(|latest| latest.token != lease.token);
                if let (Some(_), Some(latest)) = (pending, latest) {
                    let _ =
                        self.inner.release(&with(latest, |lease| lease.previous = None)).await?;
                }
                Some(lease)
            }
            _ => Some(lease),
        })
    }

    fn found(&self, key: &StorageKey, mut record: Record) -> Reservation {
        record.token = self.shown(record.token);
        let finished = !matches!(record.state, State::Pending { .. });
        if self.fault == ForgetsTheFingerprint && finished {
            record.fingerprint = Fingerprint::from_bytes(&[0; Fingerprint::LEN]);
        }
        if let State::Pending { abandoned } = &mut record.state {
            *abandoned = match self.fault {
                NeverAbandons => false,
                AbandonsAtOnce => true,
                JudgesByTheCallersClock => {
                    let (latest, began) = (self.leases.lock().unwrap(), self.began.lock().unwrap());
                    began[key].elapsed() >= latest[key].lease
                }
                _ => *abandoned,
            };
        }
        Reservation::Found(record)
    }
}

const REPEATED: [u8; 16] = [1; 16];

impl Store for Faulty {
    async fn reserve(&self, request: &ReserveRequest) -> Result<Reservation, StoreError> {
        let mut asked = request.clone();
        asked.lease = self.time(request.lease);
        asked.retention = self.time(request.retention);
        if self.fault == TakesOverWithoutBeingAsked {
            asked.retry_failed = RetryFailed::Any;
            asked.retry_abandoned = true;
        }
        if matches!(self.fault, ReservesByAnEarlyLook | TakesOverByAnEarlyLook) {
            return self.reserves_by_an_early_look(request).await;
        }
        if let Some(record) = self.kept(&request.key).await? {
            return Ok(Reservation::Found(record));
        }
        self.evicts().await?;
        let mut reservation = self.inner.reserve(&asked).await?;
        if let (TakesOverAnotherOperation, Reservation::Found(record)) = (self.fault, &reservation)
        {
            asked.fingerprint = record.fingerprint;
            reservation = self.inner.reserve(&asked).await?;
        }
        Ok(match reservation {
            Reservation::Found(_) if self.fault == OverwritesTheWinner => {
                self.acquired(Lease::first(request, Token::new([9; 16])))
            }
            Reservation::Found(record) => self.found(&request.key, record),
            Reservation::Acquired(lease) => self.acquired(with(lease, |lease| {
                lease.fingerprint = request.fingerprint;
                lease.lease = request.lease;
                lease.retention = request.retention;
            })),
        })
    }

    async fn complete(
        &self,
        lease: &Lease,
        outcome: &Outcome,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        let Some(lease) = self.storing(lease, CompletesNothingThatIsGone).await? else {
            return Ok(Settlement::LeaseLost);
        };
        if self.fault == RejectsWhatWasSentTwice
            && self.inner.renew(&lease).await? == Settlement::LeaseLost
        {
            return Ok(Settlement::LeaseLost);
        }
        let was_pending = self.was_pending(&lease).await?;
        let settled =
            self.inner.complete(&lease, &self.stored(outcome), self.time(retention)).await?;
        Ok(if was_pending { Settlement::Applied } else { settled })
    }

    async fn fail(
        &self,
        lease: &Lease,
        outcome: Option<&Outcome>,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        let Some(lease) = self.storing(lease, FailsNothingThatIsGone).await? else {
            return Ok(Settlement::LeaseLost);
        };
        let stored = outcome
            .filter(|_| self.fault != LosesFailedResponses)
            .map(|stored| self.stored(stored));
        let was_pending = self.was_pending(&lease).await?;
        let settled = self.inner.fail(&lease, stored.as_ref(), self.time(retention)).await?;
        Ok(if was_pending { Settlement::Applied } else { settled })
    }

    async fn release(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        let lease = self.released(self.understood(lease));
        let latest = self.latest(&lease.key);
        if self.fault == ReleasesOnlyUnderTheSameNumber
            && latest.is_some_and(|latest| latest.attempt != lease.attempt)
        {
            return Ok(Settlement::LeaseLost);
        }
        if self.fault == ReleasesNothing {
            return self.inner.renew(&lease).await;
        }
        let settlement = self.inner.release(&lease).await?;
        let before = lease.replaces.map(|token| with(lease.clone(), |lease| lease.token = token));
        match (self.fault, before) {
            (PutsBackRunning, Some(before)) if settlement == Settlement::Applied => {
                let _ = self.inner.renew(&before).await?;
            }
            (PutsBackWhatIsGone, Some(before))
                if self.inner.inspect(&lease.key).await?.is_none() =>
            {
                let _ = self.inner.fail(&before, None, lease.retention).await?;
            }
            _ => {}
        }
        Ok(settlement)
    }

    async fn renew(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        let mut lease = self.understood(lease);
        lease.lease = self.time(lease.lease);
        lease.retention = self.time(lease.retention);
        let renewed = match self.fault {
            RenewsNothing => return Ok(Settlement::Applied),
            RenewsWhatIsGone if self.inner.inspect(&lease.key).await?.is_none() => {
                return Ok(Settlement::Applied);
            }
            RenewsTheLeaseOnly => with(lease.clone(), |lease| lease.retention = lease.lease),
            RenewsForAMomentAtLeast => {
                let moment = Duration::from_millis(1);
                with(lease.clone(), |lease| lease.lease = lease.lease.max(moment))
            }
            RenewsForTheReleasedLease => {
                let latest = self.latest(&lease.key).map_or(lease.lease, |latest| latest.lease);
                with(lease.clone(), |lease| lease.lease = latest)
            }
            _ => lease.clone(),
        };
        let settlement = self.inner.renew(&renewed).await?;
        self.began.lock().unwrap().insert(lease.key, Instant::now());
        if self.fault == RevivesOnRenew && settlement == Settlement::LeaseLost {
            let again = ReserveRequest::new(lease.key, lease.fingerprint)
                .lease(lease.lease)
                .retention(lease.retention)
                .retry_failed(RetryFailed::Never)
                .retry_abandoned(false);
            self.inner.reserve(&again).await?;
        }
        Ok(settlement)
    }

    async fn inspect(&self, key: &StorageKey) -> Result<Option<Record>, StoreError> {
        self.touches(key, InspectionRestartsTheLease, InspectionKeepsTheRecord).await?;
        let found = self.inner.inspect(key).await?;
        match (self.fault, found) {
            (PanicsOnInspect, _) => panic!("not implemented"),
            (FailsOnInspect, _) => Err(StoreError::new(StoreErrorKind::Unavailable)),
            (ReservesToInspect, None) => {
                let second = Duration::from_secs(1);
                let again =
                    ReserveRequest::new(*key, Fingerprint::from_bytes(&[0; Fingerprint::LEN]))
                        .lease(second)
                        .retention(2 * second)
                        .retry_failed(RetryFailed::Never)
                        .retry_abandoned(false);
                self.inner.reserve(&again).await?;
                Ok(None)
            }
            (
                InspectsHeadsOnly,
                Some(Record { state: State::Failed(_), fingerprint, attempt, token, .. }),
            ) => Ok(Some(Record::new(fingerprint, attempt, token, State::Failed(None)))),
            (_, found) => Ok(found),
        }
    }

    async fn wait_for_change(
        &self,
        seen: &PendingRef,
        round: u32,
        bound: Duration,
    ) -> Result<(), StoreError> {
        self.touches(&seen.key, WaitRestartsTheLease, WaitKeepsTheRecord).await?;
        match self.fault {
            EndsEveryWaitAtOnce => {}
            WaitsForALeaseThatWasGivenUp => self.waits_past_an_abandonment(seen, bound).await?,
            SleepsToTheBound => tokio::time::sleep(bound).await,
            SleepsPastTheBound => tokio::time::sleep(bound * 3).await,
            _ => self.inner.wait_for_change(seen, round, bound).await?,
        }
        if let (WaiterReleases, Some(lease)) = (self.fault, self.latest(&seen.key)) {
            let _ = self.inner.release(&lease).await?;
        }
        Ok(())
    }

    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }

    fn opens_in_outage(&self) -> bool {
        self.inner.opens_in_outage()
    }

    fn limits_scopes(&self) -> bool {
        self.inner.limits_scopes()
    }

    fn opens_transactions(&self) -> bool {
        self.inner.opens_transactions()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
