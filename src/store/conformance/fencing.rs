//! A token that is not the current one writes nothing; the current one ends the attempt once.

use std::time::Duration;

use super::super::{PreviousAttempt, Store};
use super::contender::Contender;
use super::given::{answer, large_answer};
use super::told::Write;

/// An attempt that was taken over may wake up and write: it is told that its lease is lost, and the second attempt
/// runs on and completes as if nothing had happened.
pub async fn a_late_writer_changes_nothing<S: Store>(store: &S, unit: Duration) {
    let outcomes = [answer(201, "of the second attempt"), large_answer(201, b'2')];
    let first = [(); 2].map(|()| Contender::new(store, unit).with_lease(1.0));
    let late = [first[0].acquires_first().await, first[1].acquires_first().await];
    first[0].after(2.0).await;

    for ((first, late), outcome) in first.iter().zip(&late).zip(&outcomes) {
        let second = first.with_lease(20.0).rerunning_abandoned();
        let lease = second.takes_over(2, PreviousAttempt::Abandoned).await;
        assert_ne!(late.token, lease.token, "a token was used twice");

        first.loses_every_write(late).await;
        second.finds_running(&lease).await;
        second.applies(&lease, Write::Renew).await;
        second.applies(&lease, Write::Complete(outcome)).await;
        second.finds_success(&lease, outcome).await;
    }
}

/// The late writer is as powerless when the second attempt has ended already, however it ended.
pub async fn a_late_writer_does_not_disturb_a_finished_record<S: Store>(store: &S, unit: Duration) {
    let (small, large) = (answer(201, "of the second attempt"), large_answer(201, b'2'));
    let ends = [
        Write::Complete(&small),
        Write::Complete(&large),
        Write::Fail(Some(&small)),
        Write::Fail(Some(&large)),
        Write::Fail(None),
    ];
    let mut attempts = Vec::new();
    for end in ends {
        let first = Contender::new(store, unit).with_lease(1.0);
        let late = first.acquires_first().await;
        attempts.push((first, late, end));
    }
    tokio::time::sleep(unit * 2).await;

    for (first, late, end) in attempts {
        let second = first.with_lease(20.0).rerunning_abandoned();
        let lease = second.takes_over(2, PreviousAttempt::Abandoned).await;
        second.applies(&lease, end).await;

        first.loses_every_write(&late).await;
        match end {
            Write::Complete(outcome) => second.finds_success(&lease, outcome).await,
            Write::Fail(outcome) => second.finds_failed(&lease, outcome).await,
            Write::Release | Write::Renew => {}
        }
    }
}

/// A writer whose record has expired does not touch the record that another attempt has there now.
pub async fn a_writer_whose_record_expired_disturbs_no_newcomer<S: Store>(store: &S, unit: Duration) {
    let brief = Contender::new(store, unit).with_lease(1.0).with_retention(2.0);
    let late = brief.acquires_first().await;

    let newcomer = brief.with_lease(20.0).with_retention(40.0);
    let lease = newcomer.after(3.0).await.acquires_first().await;
    assert_ne!(late.token, lease.token, "a token was used twice");
    brief.loses_every_write(&late).await;
    newcomer.finds_running(&lease).await;

    let kept = large_answer(201, b'N');
    newcomer.applies(&lease, Write::Complete(&kept)).await;
    brief.loses_every_write(&late).await;
    newcomer.finds_success(&lease, &kept).await;
}

/// A complete or fail whose reply was lost may be sent again: it says that it was applied, and what the store kept
/// the first time stays.
pub async fn a_settling_write_may_be_sent_twice<S: Store>(store: &S, unit: Duration) {
    let (small, large) = (answer(201, "first"), large_answer(201, b'1'));
    let (other, other_large) = (answer(202, "second"), large_answer(202, b'2'));
    for kept in [&small, &large] {
        let contender = Contender::new(store, unit);
        let lease = contender.acquires_first().await;
        for sent in [kept, kept, &other, &other_large] {
            contender.applies(&lease, Write::Complete(sent)).await;
            contender.finds_success(&lease, kept).await;
        }
    }
    for kept in [Some(&small), Some(&large), None] {
        let contender = Contender::new(store, unit);
        let lease = contender.acquires_first().await;
        for sent in [kept, kept, Some(&other), Some(&other_large), None] {
            contender.applies(&lease, Write::Fail(sent)).await;
            contender.finds_failed(&lease, kept).await;
        }
    }
}

/// An attempt ends in one way. A success does not become a failure, nor a failure a success, and neither is released.
pub async fn a_settled_record_is_not_settled_otherwise<S: Store>(store: &S, unit: Duration) {
    let (small, large) = (answer(201, "kept"), large_answer(201, b'K'));
    let (other, other_large) = (answer(500, "other"), large_answer(500, b'O'));
    for kept in [&small, &large] {
        let contender = Contender::new(store, unit);
        let lease = contender.acquires_first().await;
        contender.applies(&lease, Write::Complete(kept)).await;
        for write in [
            Write::Fail(None),
            Write::Fail(Some(&other)),
            Write::Fail(Some(&other_large)),
            Write::Release,
            Write::Renew,
        ] {
            contender.loses(&lease, write).await;
            contender.finds_success(&lease, kept).await;
        }
    }
    for kept in [Some(&small), Some(&large), None] {
        let contender = Contender::new(store, unit);
        let lease = contender.acquires_first().await;
        contender.applies(&lease, Write::Fail(kept)).await;
        for write in [Write::Complete(&other), Write::Complete(&other_large), Write::Release, Write::Renew] {
            contender.loses(&lease, write).await;
            contender.finds_failed(&lease, kept).await;
        }
    }
}
