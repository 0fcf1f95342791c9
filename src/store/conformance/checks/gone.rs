//! A response is stored also when the record is gone, if the key is free. Nothing else brings a
//! record back.

use crate::record::outcome::Outcome;
use crate::store::conformance::contender::Contender;
use crate::store::conformance::failure::Checked;
use crate::store::conformance::given::{large_response, response};
use crate::store::conformance::together::{self, Boxed};
use crate::store::conformance::told::Write;
use crate::store::conformance::trial::Trial;
use crate::store::{Lease, PreviousAttempt, Store};

/// After the record of a first attempt was released, its owner may still complete or fail it. A
/// renewal or a second release writes nothing.
pub(crate) async fn a_response_is_stored_though_the_record_was_released<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let (small, large) = (response(201, "small"), large_response(201, b'L'));
    for write in responses(&small, &large) {
        let owner = Contender::new(trial);
        let lease = owner.acquires_first().await?;
        owner.applies(&lease, Write::Release).await?;
        is_stored(&owner, &lease, write).await?;
    }
    Ok(())
}

/// The same after the record has expired, also for a later attempt: its number and its fingerprint
/// stay. The record that a later attempt has put back does not count any more either.
pub(crate) async fn a_response_is_stored_though_the_record_expired<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let (small, large) = (response(201, "small"), large_response(201, b'L'));
    let checks =
        responses(&small, &large).into_iter().flat_map(|write| -> [Boxed<'_, Checked>; 3] {
            [
                Box::pin(after_a_first_attempt(trial, write)),
                Box::pin(after_a_later_attempt(trial, write)),
                Box::pin(after_a_release(trial, write)),
            ]
        });
    let checks: Vec<_> = checks.collect();
    together::all_pass(checks).await
}

async fn after_a_first_attempt<S: Store>(trial: &Trial<'_, S>, write: Write<'_>) -> Checked {
    let owner = Contender::new(trial).with_lease(1.0).with_retention(2.0);
    let lease = owner.acquires_first().await?;
    is_stored(owner.after(3.0).await, &lease, write).await
}

async fn after_a_later_attempt<S: Store>(trial: &Trial<'_, S>, write: Write<'_>) -> Checked {
    let owner = Contender::new(trial).with_lease(1.0).with_retention(2.0).rerunning_failed();
    let first = owner.acquires_first().await?;
    owner.applies(&first, Write::Fail(None)).await?;
    let second = owner.takes_over(2, PreviousAttempt::Failed { status: None }).await?;
    is_stored(owner.after(3.0).await, &second, write).await
}

async fn after_a_release<S: Store>(trial: &Trial<'_, S>, write: Write<'_>) -> Checked {
    let owner = Contender::new(trial).with_lease(1.0).with_retention(2.0).rerunning_failed();
    let first = owner.acquires_first().await?;
    owner.applies(&first, Write::Fail(None)).await?;
    let second = owner.takes_over(2, PreviousAttempt::Failed { status: None }).await?;
    owner.applies(&second, Write::Release).await?;
    is_stored(owner.after(3.0).await, &first, write).await
}

/// A response that was stored and has expired is stored again when it is sent again, with the new
/// content.
pub(crate) async fn a_response_is_stored_again_after_it_expired<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let check = async |outcome, other| {
        let owner = Contender::new(trial);
        let lease = owner.acquires_first().await?;
        owner.applies_for(1.0, &lease, Write::Complete(&outcome)).await?;
        owner.after(2.0).await.applies(&lease, Write::Complete(&other)).await?;
        owner.finds_success(&lease, &other).await
    };
    let small = check(response(201, "first"), response(202, "other"));
    let large = check(large_response(201, b'1'), large_response(202, b'2'));
    tokio::try_join!(small, large)?;
    Ok(())
}

/// A response is not stored where another attempt holds the key, in whatever state that attempt is.
pub(crate) async fn nothing_is_stored_where_another_attempt_holds_the_key<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let (small, large) = (response(201, "of the other"), large_response(201, b'O'));
    let another = responses(&small, &large).map(|end| (false, Some(end)));
    for (is_same_operation, end) in [(true, None), (false, None)].into_iter().chain(another) {
        let late = Contender::new(trial);
        let lease = late.acquires_first().await?;
        late.applies(&lease, Write::Release).await?;

        let another = late.with_another_operation();
        let other = if is_same_operation { &late } else { &another };
        let holder = other.acquires_first().await?;
        if let Some(end) = end {
            other.applies(&holder, end).await?;
        }
        late.loses_every_write(&lease).await?;
        late.finds_what_was_written(&holder, end).await?;
    }
    Ok(())
}

/// The writes that may store a response.
fn responses<'a>(small: &'a Outcome, large: &'a Outcome) -> [Write<'a>; 5] {
    [
        Write::Complete(small),
        Write::Complete(large),
        Write::Fail(Some(small)),
        Write::Fail(Some(large)),
        Write::Fail(None),
    ]
}

async fn is_stored<S: Store>(owner: &Contender<'_, S>, lease: &Lease, write: Write<'_>) -> Checked {
    for nothing in [Write::Renew, Write::Release] {
        owner.loses(lease, nothing).await?;
        owner.inspects_nothing().await?;
    }
    for _ in 0..2 {
        owner.applies(lease, write).await?;
        let other = owner.with_another_operation();
        for looking in [owner.but_rerunning_nothing(), other.but_rerunning_nothing()] {
            looking.finds_what_was_written(lease, Some(write)).await?;
        }
    }
    if let Write::Fail(outcome) = write {
        let status = outcome.map(|outcome| outcome.status);
        owner
            .rerunning_failed()
            .takes_over(lease.attempt + 1, PreviousAttempt::Failed { status })
            .await?;
    }
    Ok(())
}
