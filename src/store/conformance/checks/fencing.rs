//! A token that is not the current one writes nothing; the current one ends the attempt once.

use crate::store::conformance::contender::{Contender, are_different};
use crate::store::conformance::failure::Checked;
use crate::store::conformance::given::{large_response, response};
use crate::store::conformance::together::{self, Boxed};
use crate::store::conformance::told::Write;
use crate::store::conformance::trial::Trial;
use crate::store::{PreviousAttempt, Store};

/// An attempt that was taken over may wake up and write. It learns that its lease is lost, and the
/// second attempt runs on and completes.
pub(crate) async fn a_late_writer_changes_nothing<S: Store>(trial: &Trial<'_, S>) -> Checked {
    let outcomes = [response(201, "of the second attempt"), large_response(201, b'2')];
    let first = [(); 2].map(|()| Contender::new(trial).with_lease(1.0));
    let late = [first[0].acquires_first().await?, first[1].acquires_first().await?];
    first[0].after(2.0).await;

    for ((first, late), outcome) in first.iter().zip(&late).zip(&outcomes) {
        let second = first.with_lease(20.0).rerunning_abandoned();
        let lease = second.takes_over(2, PreviousAttempt::Abandoned).await?;
        are_different(late, &lease)?;

        first.loses_every_write(late).await?;
        second.finds_running(&lease).await?;
        second.applies(&lease, Write::Renew).await?;
        second.applies(&lease, Write::Complete(outcome)).await?;
        second.finds_success(&lease, outcome).await?;
    }
    Ok(())
}

/// The late writer changes nothing either when the second attempt has ended, in whatever way.
pub(crate) async fn a_late_writer_does_not_disturb_a_finished_record<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let (small, large) = (response(201, "of the second attempt"), large_response(201, b'2'));
    let ends = [
        Write::Complete(&small),
        Write::Complete(&large),
        Write::Fail(Some(&small)),
        Write::Fail(Some(&large)),
        Write::Fail(None),
    ];
    let checks = ends.map(|end| -> Boxed<'_, Checked> {
        Box::pin(a_late_writer_of_a_finished_record(trial, end))
    });
    together::all_pass(checks).await
}

async fn a_late_writer_of_a_finished_record<S: Store>(
    trial: &Trial<'_, S>,
    end: Write<'_>,
) -> Checked {
    let first = Contender::new(trial).with_lease(1.0);
    let late = first.acquires_first().await?;
    first.after(2.0).await;

    let second = first.with_lease(20.0).rerunning_abandoned();
    let lease = second.takes_over(2, PreviousAttempt::Abandoned).await?;
    second.applies(&lease, end).await?;
    first.loses_every_write(&late).await?;
    second.finds_what_was_written(&lease, Some(end)).await
}

/// A writer whose record has expired does not change the record of a newer attempt.
pub(crate) async fn a_writer_whose_record_expired_disturbs_no_newcomer<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let brief = Contender::new(trial).with_lease(1.0).with_retention(2.0);
    let late = brief.acquires_first().await?;

    let newcomer = brief.with_lease(20.0).with_retention(40.0);
    let lease = newcomer.after(3.0).await.acquires_first().await?;
    are_different(&late, &lease)?;
    brief.loses_every_write(&late).await?;
    newcomer.finds_running(&lease).await?;

    let stored = large_response(201, b'N');
    newcomer.applies(&lease, Write::Complete(&stored)).await?;
    brief.loses_every_write(&late).await?;
    newcomer.finds_success(&lease, &stored).await?;
    Ok(())
}

/// A `complete` or `fail` whose reply was lost may be sent again. It says that it was applied, and
/// the response of the first time stays.
pub(crate) async fn a_settling_write_may_be_sent_twice<S: Store>(trial: &Trial<'_, S>) -> Checked {
    let (small, large) = (response(201, "first"), large_response(201, b'1'));
    let (other, other_large) = (response(202, "second"), large_response(202, b'2'));
    for stored in [&small, &large] {
        let contender = Contender::new(trial);
        let lease = contender.acquires_first().await?;
        for sent in [stored, stored, &other, &other_large] {
            contender.applies_to_the_record(&lease, Write::Complete(sent)).await?;
            contender.finds_success(&lease, stored).await?;
        }
    }
    for stored in [Some(&small), Some(&large), None] {
        let contender = Contender::new(trial);
        let lease = contender.acquires_first().await?;
        for sent in [stored, stored, Some(&other), Some(&other_large), None] {
            contender.applies_to_the_record(&lease, Write::Fail(sent)).await?;
            contender.finds_failed(&lease, stored).await?;
        }
    }
    Ok(())
}

/// An attempt ends in one way. A success does not become a failure, nor a failure a success, and
/// neither is released.
pub(crate) async fn a_settled_record_is_not_settled_otherwise<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let (small, large) = (response(201, "stored"), large_response(201, b'K'));
    let (other, other_large) = (response(500, "other"), large_response(500, b'O'));
    for stored in [&small, &large] {
        let contender = Contender::new(trial);
        let lease = contender.acquires_first().await?;
        contender.applies(&lease, Write::Complete(stored)).await?;
        for write in [
            Write::Fail(None),
            Write::Fail(Some(&other)),
            Write::Fail(Some(&other_large)),
            Write::Release,
            Write::Renew,
        ] {
            contender.loses(&lease, write).await?;
            contender.finds_success(&lease, stored).await?;
        }
    }
    for stored in [Some(&small), Some(&large), None] {
        let contender = Contender::new(trial);
        let lease = contender.acquires_first().await?;
        contender.applies(&lease, Write::Fail(stored)).await?;
        for write in
            [Write::Complete(&other), Write::Complete(&other_large), Write::Release, Write::Renew]
        {
            contender.loses(&lease, write).await?;
            contender.finds_failed(&lease, stored).await?;
        }
    }
    Ok(())
}
