//! A release leaves what the attempt found: a free key, or the record that it took over.

use crate::record::outcome::{NotRetained, Outcome, StoredBody};
use crate::store::conformance::contender::{Contender, are_different};
use crate::store::conformance::failure::Checked;
use crate::store::conformance::given::{large_response, response};
use crate::store::conformance::together::{self, Boxed};
use crate::store::conformance::told::Write;
use crate::store::conformance::trial::Trial;
use crate::store::{Lease, PreviousAttempt, Store};

/// After the release of a first attempt the key is free for any caller, another operation included.
/// The count starts again.
pub(crate) async fn release_frees_the_key<S: Store>(trial: &Trial<'_, S>) -> Checked {
    let contender = Contender::new(trial);
    let first = contender.acquires_first().await?;
    contender.applies(&first, Write::Release).await?;

    let other = contender.with_another_operation();
    let second = other.acquires_first().await?;
    are_different(&first, &second)?;
    other.applies(&second, Write::Release).await?;
    contender.acquires_first().await?;
    Ok(())
}

/// A later attempt that is released leaves the failed record that it took over, under its token and
/// with its status. The numbers go on, and the key stays bound to its operation.
pub(crate) async fn a_released_attempt_leaves_the_failure_that_it_took_over<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    for outcome in [Some(response(500, "it broke")), Some(large_response(503, b'F')), None] {
        let outcome = outcome.as_ref();
        let contender = Contender::new(trial).rerunning_failed().rerunning_abandoned();
        let looking = Contender::new(trial).for_the_key_of(&contender);
        let first = contender.acquires_first().await?;
        contender.applies(&first, Write::Fail(outcome)).await?;

        let previous = PreviousAttempt::Failed { status: outcome.map(|outcome| outcome.status) };
        let left = outcome.map(without_body);
        for attempt in 2..5 {
            let later = contender.takes_over(attempt, previous).await?;
            contender.applies(&later, Write::Release).await?;
            let before = Lease { attempt, ..first.clone() };
            looking.finds_failed(&before, left.as_ref()).await?;
            contender.with_another_operation().finds_failed(&before, left.as_ref()).await?;
            contender.loses_every_write(&later).await?;
            contender.loses(&first, Write::Renew).await?;
        }

        let last = contender.takes_over(5, previous).await?;
        let stored = large_response(201, b'L');
        contender.applies(&last, Write::Complete(&stored)).await?;
        looking.finds_success(&last, &stored).await?;
    }
    Ok(())
}

/// A later attempt that is released leaves the abandoned record that it took over, which is
/// abandoned at once and stays for a retention. The numbers go on, and the key stays bound to its
/// operation.
pub(crate) async fn a_released_attempt_leaves_the_abandoned_record_that_it_took_over<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let looking = Contender::new(trial).with_lease(1.0);
    let first = looking.acquires_first().await?;
    looking.after(2.0).await;

    let contender = looking.rerunning_abandoned().with_lease(20.0).with_retention(40.0);
    for attempt in 2..5 {
        let later = contender.takes_over(attempt, PreviousAttempt::Abandoned).await?;
        contender.applies(&later, Write::Release).await?;
        let before = Lease { attempt, ..first.clone() };
        looking.finds_abandoned(&before).await?;
        contender.with_another_operation().finds_abandoned(&before).await?;
        contender.loses_every_write(&later).await?;
    }

    let brief = contender.with_lease(2.0).with_retention(3.0);
    let later = brief.takes_over(5, PreviousAttempt::Abandoned).await?;
    brief.applies(&later, Write::Release).await?;
    looking.after(2.0).await.finds_abandoned(&Lease { attempt: 5, ..first }).await?;
    contender.after(2.0).await.acquires_first().await?;
    Ok(())
}

/// A failed record that was put back stays for the retention of the attempt that was released.
pub(crate) async fn a_failure_that_was_put_back_expires<S: Store>(trial: &Trial<'_, S>) -> Checked {
    let contender = Contender::new(trial).with_lease(2.0).with_retention(3.0).rerunning_failed();
    let first = contender.acquires_first().await?;
    contender.applies(&first, Write::Fail(None)).await?;
    let later = contender.takes_over(2, PreviousAttempt::Failed { status: None }).await?;
    contender.after(2.0).await.applies(&later, Write::Release).await?;

    let looking = contender.with_another_operation();
    looking.after(2.0).await.finds_failed(&Lease { attempt: 2, ..first }, None).await?;
    looking.after(2.0).await.acquires_first().await?;
    Ok(())
}

/// A reservation whose reply was lost never begins, and is released with the number of the attempt
/// before it. That leaves exactly what it found.
pub(crate) async fn a_reservation_that_never_began_leaves_what_it_found<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let contender = Contender::new(trial).rerunning_failed().rerunning_abandoned();
    let lost = contender.acquires_first().await?;
    contender.applies(&never_begun(&lost), Write::Release).await?;

    let first = contender.with_lease(1.0).acquires_first().await?;
    contender.after(2.0).await;
    let looking = Contender::new(trial).for_the_key_of(&contender);
    for _ in 0..2 {
        let lost = contender.takes_over(2, PreviousAttempt::Abandoned).await?;
        contender.applies(&never_begun(&lost), Write::Release).await?;
        looking.finds_abandoned(&first).await?;
    }

    let second = contender.takes_over(2, PreviousAttempt::Abandoned).await?;
    let failure = response(503, "try later");
    contender.applies(&second, Write::Fail(Some(&failure))).await?;
    let previous = PreviousAttempt::Failed { status: Some(failure.status) };
    for _ in 0..2 {
        let lost = contender.takes_over(3, previous).await?;
        contender.applies(&never_begun(&lost), Write::Release).await?;
        looking.finds_failed(&second, Some(&without_body(&failure))).await?;
    }
    contender.takes_over(3, previous).await?;
    Ok(())
}

/// After a release, the token of the attempt that was taken over is the current one again. Its late
/// owner may settle or renew, with its own lease in full. The number of the record stays.
pub(crate) async fn the_late_owner_of_a_record_that_was_put_back_may_settle_and_renew<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let (small, large) = (response(500, "late"), large_response(201, b'O'));
    let writes = [
        Write::Complete(&small),
        Write::Complete(&large),
        Write::Fail(Some(&small)),
        Write::Fail(Some(&large)),
        Write::Fail(None),
        Write::Release,
        Write::Renew,
    ];
    let checks = writes.map(|write| -> Boxed<'_, Checked> {
        Box::pin(a_late_owner_after_a_release(trial, write))
    });
    together::all_pass(checks).await
}

async fn a_late_owner_after_a_release<S: Store>(trial: &Trial<'_, S>, write: Write<'_>) -> Checked {
    let owner = Contender::new(trial).with_lease(2.0).with_retention(20.0);
    let lease = owner.acquires_first().await?;

    // Shorter times than the owner's, which must not become the owner's.
    let contender = owner.rerunning_abandoned().with_lease(0.5).with_retention(6.0);
    let later = contender.after(3.0).await.takes_over(2, PreviousAttempt::Abandoned).await?;
    contender.loses_every_write(&lease).await?;
    contender.applies(&later, Write::Release).await?;

    contender.applies_to_the_record(&lease, write).await?;
    let now = Lease { attempt: 2, ..lease };
    if let Write::Release = write {
        contender.acquires_first().await?;
        return Ok(());
    }
    contender.finds_what_was_written(&now, Some(write)).await?;
    if let Write::Renew = write {
        owner.after(1.0).await.rerunning_abandoned().finds_running(&now).await?;
        owner.after(2.0).await.finds_abandoned(&now).await?;
    }
    Ok(())
}

fn never_begun(lease: &Lease) -> Lease {
    lease.clone().never_begun()
}

/// The rest of the response of a failure that was taken over and put back.
fn without_body(outcome: &Outcome) -> Outcome {
    Outcome::new(outcome.status, StoredBody::NotRetained(NotRetained::Failure))
}
