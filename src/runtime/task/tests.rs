#![allow(clippy::unwrap_used)]

use std::future::{pending, poll_fn};

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

/// The tasks of the runtime, without the one that the test runs in.
fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

/// An operation that waits, and then says that it has ended.
struct Waiting {
    operation: Pin<Box<dyn Future<Output = u8> + Send>>,
    go_on: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
}

fn waiting() -> Waiting {
    let (go_on, goes_on) = oneshot::channel();
    let (end, ended) = oneshot::channel();
    let operation = Box::pin(async move {
        goes_on.await.unwrap();
        end.send(()).unwrap();
        7
    });
    Waiting { operation, go_on, ended }
}

async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await
}

#[tokio::test]
async fn an_operation_that_has_not_begun_waits_in_the_task_of_its_caller() {
    let Waiting { operation, go_on, ended: _ended } = waiting();
    let stage = Stage::default();
    stage.outlives_caller();
    let mut own = own_task(operation, stage);
    assert!(poll_once(&mut own).await.is_pending());
    assert_eq!(tasks(), 0);
    go_on.send(()).unwrap();
    assert_eq!(own.await, 7);
}

#[tokio::test]
async fn an_operation_that_has_begun_becomes_a_task_when_it_waits() {
    let Waiting { operation, go_on, ended: _ended } = waiting();
    let stage = Stage::default();
    stage.begins();
    let mut own = own_task(operation, stage);
    assert!(poll_once(&mut own).await.is_pending());
    assert_eq!(tasks(), 1);
    go_on.send(()).unwrap();
    assert_eq!(own.await, 7);
}

#[tokio::test]
async fn an_operation_whose_caller_goes_runs_to_its_end_if_it_outlives_the_caller() {
    for step in [Stage::outlives_caller, Stage::begins] {
        let Waiting { operation, go_on, ended } = waiting();
        let stage = Stage::default();
        step(&stage);
        let mut own = own_task(operation, stage);
        assert!(poll_once(&mut own).await.is_pending());
        drop(own);
        go_on.send(()).unwrap();
        timeout(PATIENCE, ended).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn an_operation_that_ends_with_its_caller_is_dropped() {
    let Waiting { operation, go_on: _go_on, ended } = waiting();
    let mut own = own_task(operation, Stage::default());
    assert!(poll_once(&mut own).await.is_pending());
    drop(own);
    assert!(ended.await.is_err());
}

/// The stage can change while the operation waits.
#[tokio::test]
async fn what_counts_is_the_stage_at_the_time_that_the_caller_goes() {
    let (go_on, goes_on) = oneshot::channel();
    let (end, ended) = oneshot::channel();
    let stage = Stage::default();
    let own_stage = stage.clone();
    let operation = async move {
        tokio::task::yield_now().await;
        own_stage.outlives_caller();
        goes_on.await.unwrap();
        end.send(()).unwrap();
    };
    let mut own = own_task(operation, stage);
    for _ in 0..2 {
        assert!(poll_once(&mut own).await.is_pending());
    }
    drop(own);
    go_on.send(()).unwrap();
    timeout(PATIENCE, ended).await.unwrap().unwrap();
}

/// A thread without a runtime may drop what a runtime has polled.
#[tokio::test]
async fn the_caller_may_go_on_a_thread_outside_of_the_runtime() {
    let Waiting { operation, go_on, ended } = waiting();
    let stage = Stage::default();
    stage.outlives_caller();
    let mut own = own_task(operation, stage);
    assert!(poll_once(&mut own).await.is_pending());
    std::thread::spawn(move || drop(own)).join().unwrap();
    go_on.send(()).unwrap();
    timeout(PATIENCE, ended).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_operation_that_was_never_polled_is_dropped() {
    let stage = Stage::default();
    stage.outlives_caller();
    let (held, dropped) = oneshot::channel::<()>();
    let operation = async move {
        let _held = held;
        pending::<()>().await;
    };
    drop(own_task(operation, stage));
    assert!(dropped.await.is_err());
}

#[tokio::test]
async fn a_panic_of_the_task_continues_in_the_caller() {
    let stage = Stage::default();
    stage.begins();
    let own = own_task(
        async {
            tokio::task::yield_now().await;
            panic!("a fault of the layer");
        },
        stage,
    );
    let ended: Result<(), _> = tokio::spawn(own).await;
    assert!(ended.unwrap_err().is_panic());
}
