//! Calls in transaction mode: what they wrote is committed by what their status says, and not by
//! the 200 of HTTP.

use std::time::Duration;

use sqlx::Sqlite;
use tonic::{Code, Status};
use tower_idempotency::Attempt;
use tower_idempotency::store::DynStore;

#[allow(dead_code)]
#[path = "../grpc/bank.rs"]
mod bank;

use self::bank::{assert_first, assert_replays, call, receipt, start};
use crate::support::databases::{Base, Lite};
use crate::support::{Effects, Server, layer_over};

/// A service that inserts a row and then responds with this code.
async fn inserting(base: &Lite, effects: &Effects, code: Code) -> Server {
    let layer =
        layer_over(DynStore::new(base.store().await)).store_timeout(Duration::from_secs(10));
    start(layer, effects, move |request| async move {
        let attempt = request.extensions().get::<Attempt>().unwrap();
        let mut tx = attempt.transaction::<Sqlite>().unwrap();
        Lite::run(&mut tx, "INSERT INTO orders VALUES ('book')".into()).await.unwrap();
        if code == Code::Ok {
            Ok(receipt("done"))
        } else {
            Err(Status::new(code, "said after it was written"))
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_ok_is_committed_and_replayed() {
    let (base, effects) = (Lite::start().await, Effects::new());
    let server = inserting(&base, &effects, Code::Ok).await;
    assert_first(&call("order-1001").send(&server).await, "done");
    assert_replays(&call("order-1001").send(&server).await, "done");
    assert_eq!((effects.count(), base.orders().await.len()), (1, 1));
    assert_eq!(base.records().await, ["success"]);
    base.at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definitive_rejection_is_replayed_and_its_writes_are_rolled_back() {
    for code in [Code::NotFound, Code::AlreadyExists] {
        let (base, effects) = (Lite::start().await, Effects::new());
        let server = inserting(&base, &effects, code).await;
        for _ in 0..3 {
            let status = call("order-1001").send(&server).await.unwrap_err();
            assert_eq!((status.code(), status.message()), (code, "said after it was written"));
        }
        assert_eq!((effects.count(), base.orders().await.len()), (1, 0));
        assert_eq!(base.records().await, ["success"]);
        base.at_rest().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_and_what_nothing_came_of_are_rolled_back_and_run_again() {
    for (code, record) in [(Code::Unavailable, &["failed"] as &[_]), (Code::InvalidArgument, &[])] {
        let (base, effects) = (Lite::start().await, Effects::new());
        let server = inserting(&base, &effects, code).await;
        for _ in 0..2 {
            assert_eq!(call("order-1001").send(&server).await.unwrap_err().code(), code);
        }
        assert_eq!((effects.count(), base.orders().await.len()), (2, 0));
        assert_eq!(base.records().await, record);
        base.at_rest().await;
    }
}
