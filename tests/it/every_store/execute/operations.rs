//! What callers get, over every store.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;
use tower_idempotency::{ExecuteError, Executed, InFlight, PreviousAttempt, Rejection};

use crate::support::given::{Kind, execute, over_every_store};
use crate::support::patiently;

over_every_store! {
    an_operation_runs_once_and_every_retry_gets_its_result
    another_operation_under_the_key_is_rejected
    a_failure_runs_again_and_knows_of_the_one_before
    a_panic_goes_on_and_is_a_failure
    of_a_hundred_calls_at_once_one_runs_and_all_get_its_result
    an_operation_whose_caller_is_gone_runs_to_its_end
    a_result_that_is_too_large_is_rejected_afterwards
    a_result_of_another_type_is_an_error
    a_result_that_cannot_be_written_is_an_error_for_its_caller_too
    a_shutdown_rejects
    every_store_timeout_is_taken
}

fn first<T>(value: T) -> Executed<T> {
    Executed::new(value, false)
}

fn replay<T>(value: T) -> Executed<T> {
    Executed::new(value, true)
}

async fn an_operation_runs_once_and_every_retry_gets_its_result(kind: Kind) {
    let given = kind.start().await;
    let layer = given.layer().await;
    let value = || (7_u64, "payout \u{e9}\n".to_owned(), vec![None, Some(-1.5)]);
    let operation = async move |attempt: tower_idempotency::Attempt| {
        assert_eq!(
            (attempt.number(), attempt.previous(), attempt.key().as_str()),
            (1, None, "message")
        );
        Ok(value())
    };
    assert_eq!(execute(&layer, "payout", operation).await.unwrap(), first(value()));
    for layer in [layer.clone(), layer, given.layer().await] {
        let again = execute(&layer, "payout", async |_| panic!("it ran again")).await.unwrap();
        assert_eq!(again, replay(value()));
    }
}

async fn another_operation_under_the_key_is_rejected(kind: Kind) {
    let given = kind.start().await;
    let layer = given.layer().await;
    execute(&layer, "payout", async |_| Ok(1)).await.unwrap();
    let other = execute::<i32, _>(&layer, "refund", async |_| panic!("it ran")).await.unwrap_err();
    assert!(matches!(other, ExecuteError::Rejected(Rejection::KeyReused { .. })), "{other:?}");
}

async fn a_failure_runs_again_and_knows_of_the_one_before(kind: Kind) {
    let given = kind.start().await;
    let layer = given.layer().await;
    let failed =
        execute::<i32, _>(&layer, "payout", async |_| Err("no".to_owned())).await.unwrap_err();
    assert!(matches!(&failed, ExecuteError::Failed(error) if error == "no"), "{failed:?}");
    let again = execute(&layer, "payout", async |attempt| {
        assert_eq!(
            (attempt.number(), attempt.previous()),
            (2, Some(PreviousAttempt::Failed { status: None }))
        );
        Ok(2)
    });
    assert_eq!(again.await.unwrap(), first(2));
}

async fn a_panic_goes_on_and_is_a_failure(kind: Kind) {
    let given = kind.start().await;
    let layer = given.layer().await;
    let calling = layer.clone();
    let call = async move {
        execute::<i32, _>(&calling, "payout", async |_| panic!("as it was told to")).await
    };
    let panic = tokio::spawn(call).await.unwrap_err().into_panic();
    assert_eq!(panic.downcast_ref(), Some(&"as it was told to"));
    let again = execute(&layer, "payout", async |attempt| {
        assert_eq!(
            (attempt.number(), attempt.previous()),
            (2, Some(PreviousAttempt::Failed { status: None }))
        );
        Ok(2)
    });
    assert_eq!(again.await.unwrap(), first(2));
}

async fn of_a_hundred_calls_at_once_one_runs_and_all_get_its_result(kind: Kind) {
    let given = kind.start().await;
    let layer = given.layer().await.in_flight(InFlight::Wait(Duration::from_mins(1)));
    let runs = Arc::new(AtomicUsize::new(0));
    let mut calls = JoinSet::new();
    for _ in 0..100 {
        let (layer, runs) = (layer.clone(), Arc::clone(&runs));
        calls.spawn(async move {
            let operation = async move |_| {
                tokio::task::yield_now().await;
                Ok(runs.fetch_add(1, Ordering::SeqCst))
            };
            execute(&layer, "payout", operation).await.unwrap()
        });
    }
    let results = patiently(calls.join_all()).await;
    assert_eq!(results.iter().filter(|result| !result.is_replay).count(), 1);
    assert!(results.iter().all(|result| result.value == 0));
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

async fn an_operation_whose_caller_is_gone_runs_to_its_end(kind: Kind) {
    let given = kind.start().await;
    let layer = given.layer().await;
    let (begun, going_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (calling, begins, goes_on) = (layer.clone(), Arc::clone(&begun), Arc::clone(&going_on));
    let (ended, hears) = oneshot::channel();
    let caller = tokio::spawn(async move {
        let operation = async move |_| {
            begins.notify_one();
            goes_on.notified().await;
            ended.send(()).unwrap();
            Ok(1)
        };
        execute(&calling, "payout", operation).await
    });
    patiently(begun.notified()).await;
    let rejected =
        execute::<i32, _>(&layer, "payout", async |_| panic!("it ran again")).await.unwrap_err();
    assert!(matches!(rejected, ExecuteError::Rejected(Rejection::InFlight { .. })), "{rejected:?}");
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    going_on.notify_one();
    patiently(hears).await.unwrap();
    patiently(layer.shutdown()).await;
    let next = given.layer().await;
    assert_eq!(
        execute(&next, "payout", async |_| panic!("it ran again")).await.unwrap(),
        replay(1)
    );
}

async fn a_result_that_is_too_large_is_rejected_afterwards(kind: Kind) {
    let given = kind.start().await;
    let layer = given.layer().await.max_response(100);
    let large = "x".repeat(200);
    let result = large.clone();
    assert_eq!(execute(&layer, "payout", async move |_| Ok(result)).await.unwrap(), first(large));
    let again =
        execute::<String, _>(&layer, "payout", async |_| panic!("it ran again")).await.unwrap_err();
    assert!(
        matches!(again, ExecuteError::Rejected(Rejection::ResultNotRetained { .. })),
        "{again:?}"
    );
}

async fn a_result_of_another_type_is_an_error(kind: Kind) {
    let given = kind.start().await;
    let layer = given.layer().await;
    execute(&layer, "payout", async |_| Ok("seven".to_owned())).await.unwrap();
    let other =
        execute::<u64, _>(&layer, "payout", async |_| panic!("it ran again")).await.unwrap_err();
    assert!(matches!(other, ExecuteError::Deserialize(_)), "{other:?}");
}

/// JSON has only texts for names.
type NoJson = std::collections::BTreeMap<(u8, u8), u8>;

async fn a_result_that_cannot_be_written_is_an_error_for_its_caller_too(kind: Kind) {
    let given = kind.start().await;
    let layer = given.layer().await;
    let unwritable = async |_| Ok(NoJson::from([((1, 2), 3)]));
    let failed = execute(&layer, "payout", unwritable).await.unwrap_err();
    assert!(matches!(failed, ExecuteError::Serialize(_)), "{failed:?}");
    let again = execute(&layer, "payout", async |attempt| {
        assert_eq!(
            (attempt.number(), attempt.previous()),
            (2, Some(PreviousAttempt::Failed { status: None }))
        );
        Ok(2)
    });
    assert_eq!(again.await.unwrap(), first(2));
}

async fn a_shutdown_rejects(kind: Kind) {
    let given = kind.start().await;
    let layer = given.layer().await;
    patiently(layer.shutdown()).await;
    let rejected =
        execute::<i32, _>(&layer, "payout", async |_| panic!("it ran")).await.unwrap_err();
    assert!(
        matches!(rejected, ExecuteError::Rejected(Rejection::ShuttingDown { .. })),
        "{rejected:?}"
    );
}

async fn every_store_timeout_is_taken(kind: Kind) {
    for timeout in
        [Duration::ZERO, Duration::from_millis(1), Duration::from_hours(40 * 24), Duration::MAX]
    {
        let given = kind.start().await;
        let layer = given.layer().await.store_timeout(timeout);
        let executed = patiently(execute(&layer, "payout", async |_| Ok(7))).await;
        match executed {
            Ok(executed) => assert_eq!(executed, first(7)),
            // A store that has no time rejects.
            Err(error) => assert!(timeout < Duration::from_secs(1), "{timeout:?}: {error:?}"),
        }
    }
}
