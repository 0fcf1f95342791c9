//! A response is stored also when the record is gone, if the key is free. Nothing else brings a
//! record back.

use std::time::Duration;

use super::super::{Lease, PreviousAttempt, Store};
use super::contender::Contender;
use super::given::{answer, large_answer};
use super::told::Write;
use crate::record::outcome::Outcome;

/// After the record of a first attempt was released, its owner may still complete or fail it. A
/// renewal or a second release writes nothing.
pub async fn a_response_is_stored_though_the_record_was_released<S: Store>(store: &S, unit: Duration) {
    let (small, large) = (answer(201, "small"), large_answer(201, b'L'));
    for write in responses(&small, &large) {
        let owner = Contender::new(store, unit);
        let lease = owner.acquires_first().await;
        owner.applies(&lease, Write::Release).await;
        is_stored(&owner, &lease, write).await;
    }
}

/// The same after the record has expired, also for a later attempt: its number and its fingerprint
/// stay. What a later attempt has put back counts no more either.
pub async fn a_response_is_stored_though_the_record_expired<S: Store>(store: &S, unit: Duration) {
    let (small, large) = (answer(201, "small"), large_answer(201, b'L'));
    let mut attempts = Vec::new();
    for write in responses(&small, &large) {
        let owner = Contender::new(store, unit).with_lease(1.0).with_retention(2.0);
        attempts.push((owner.acquires_first().await, owner, write));
        let owner = Contender::new(store, unit).with_lease(1.0).with_retention(2.0).rerunning_failed();
        let first = owner.acquires_first().await;
        owner.applies(&first, Write::Fail(None)).await;
        let second = owner.takes_over(2, PreviousAttempt::Failed { status: None }).await;
        attempts.push((second, owner, write));
        let owner = Contender::new(store, unit).with_lease(1.0).with_retention(2.0).rerunning_failed();
        let first = owner.acquires_first().await;
        owner.applies(&first, Write::Fail(None)).await;
        let second = owner.takes_over(2, PreviousAttempt::Failed { status: None }).await;
        owner.applies(&second, Write::Release).await;
        attempts.push((first, owner, write));
    }
    tokio::time::sleep(unit * 3).await;
    for (lease, owner, write) in attempts {
        is_stored(&owner, &lease, write).await;
    }
}

/// A response that was stored and has expired is stored again when it is sent again, as it is then
/// sent.
pub async fn a_response_is_stored_again_after_it_expired<S: Store>(store: &S, unit: Duration) {
    let outcomes = [answer(201, "first"), large_answer(201, b'1')];
    let others = [answer(202, "other"), large_answer(202, b'2')];
    let mut attempts = Vec::new();
    for (outcome, other) in outcomes.iter().zip(&others) {
        let owner = Contender::new(store, unit);
        let lease = owner.acquires_first().await;
        owner.applies_for(1.0, &lease, Write::Complete(outcome)).await;
        attempts.push((lease, owner, other));
    }
    tokio::time::sleep(unit * 2).await;
    for (lease, owner, other) in attempts {
        owner.applies(&lease, Write::Complete(other)).await;
        owner.finds_success(&lease, other).await;
    }
}

/// A response is not stored where another attempt holds the key, whatever became of that attempt.
pub async fn nothing_is_stored_where_another_attempt_holds_the_key<S: Store>(store: &S, unit: Duration) {
    let (small, large) = (answer(201, "of the other"), large_answer(201, b'O'));
    for end in [None].into_iter().chain(responses(&small, &large).map(Some)) {
        let late = Contender::new(store, unit);
        let lease = late.acquires_first().await;
        late.applies(&lease, Write::Release).await;

        let other = late.with_another_operation();
        let holder = other.acquires_first().await;
        if let Some(end) = end {
            other.applies(&holder, end).await;
        }
        late.loses_every_write(&lease).await;
        match end {
            Some(Write::Complete(outcome)) => late.finds_success(&holder, outcome).await,
            Some(Write::Fail(outcome)) => late.finds_failed(&holder, outcome).await,
            _ => late.finds_running(&holder).await,
        }
    }
}

/// What may be stored of a response.
fn responses<'a>(small: &'a Outcome, large: &'a Outcome) -> [Write<'a>; 5] {
    [
        Write::Complete(small),
        Write::Complete(large),
        Write::Fail(Some(small)),
        Write::Fail(Some(large)),
        Write::Fail(None),
    ]
}

async fn is_stored<S: Store>(owner: &Contender<'_, S>, lease: &Lease, write: Write<'_>) {
    for nothing in [Write::Renew, Write::Release] {
        owner.loses(lease, nothing).await;
        let found = owner.inspects().await;
        assert!(found.is_none(), "a {nothing} should not have brought the record back: {found:?}");
    }
    for _ in 0..2 {
        owner.applies(lease, write).await;
        let other = owner.with_another_operation();
        for looking in [owner.but_rerunning_nothing(), other] {
            match write {
                Write::Complete(outcome) => looking.finds_success(lease, outcome).await,
                Write::Fail(outcome) => looking.finds_failed(lease, outcome).await,
                Write::Release | Write::Renew => {}
            }
        }
    }
    if let Write::Fail(outcome) = write {
        let status = outcome.map(|outcome| outcome.status);
        owner.rerunning_failed().takes_over(lease.attempt + 1, PreviousAttempt::Failed { status }).await;
    }
}
