//! In transaction mode the business row and the result are there together.

use tower_idempotency::{Attempt, ExecuteError, Rejection, Tx};

use crate::support::databases::{Base, Lite, Pg};
use crate::support::given::{execute, in_transaction};
use crate::support::patiently;

#[tokio::test(flavor = "multi_thread")]
async fn the_row_and_the_result_are_committed_together_or_not_at_all_on_postgres() {
    the_row_and_the_result_are_committed_together_or_not_at_all::<Pg>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_row_and_the_result_are_committed_together_or_not_at_all_on_sqlite() {
    the_row_and_the_result_are_committed_together_or_not_at_all::<Lite>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_ended_or_not_given_back_gives_no_result_on_postgres() {
    a_transaction_that_is_ended_or_not_given_back_gives_no_result::<Pg>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_ended_or_not_given_back_gives_no_result_on_sqlite() {
    a_transaction_that_is_ended_or_not_given_back_gives_no_result::<Lite>().await;
}

/// Inserts a row, and returns the transaction to the caller.
async fn insert<B: Base>(attempt: Attempt) -> Tx<B::Db> {
    let mut tx = attempt.transaction::<B::Db>().unwrap();
    B::run(&mut tx, "INSERT INTO orders VALUES ('book')".into()).await.unwrap();
    tx
}

async fn the_row_and_the_result_are_committed_together_or_not_at_all<B: Base>() {
    let base = B::start().await;
    let layer = in_transaction(&base).await;
    let failing = async |attempt| {
        drop(insert::<B>(attempt).await);
        Err::<i32, _>("no".to_owned())
    };
    assert!(matches!(execute(&layer, "order", failing).await, Err(ExecuteError::Failed(_))));
    let unwritable = async |attempt| {
        drop(insert::<B>(attempt).await);
        Ok(std::collections::BTreeMap::from([((1_u8, 2_u8), 3_u8)]))
    };
    assert!(matches!(execute(&layer, "order", unwritable).await, Err(ExecuteError::Serialize(_))));
    assert_eq!((base.orders().await, base.records().await), (vec![], vec!["failed".to_owned()]));

    let inserting = async |attempt: Attempt| {
        let number = attempt.number();
        drop(insert::<B>(attempt).await);
        Ok(number)
    };
    assert_eq!(execute(&layer, "order", inserting).await.unwrap().value, 3);
    assert_eq!(
        (base.orders().await, base.records().await),
        (vec!["book".into()], vec!["success".to_owned()])
    );
    assert!(execute(&layer, "order", inserting).await.unwrap().is_replay);
    assert_eq!(base.orders().await, ["book"]);
    base.at_rest().await;
}

async fn a_transaction_that_is_ended_or_not_given_back_gives_no_result<B: Base>() {
    let base = B::start().await;
    let layer = in_transaction(&base).await;
    let (sender, stored) = tokio::sync::oneshot::channel();
    let holding = async move |attempt| {
        sender.send(insert::<B>(attempt).await).unwrap();
        Ok(1)
    };
    let lost = execute(&layer, "order", holding).await.unwrap_err();
    assert!(matches!(lost, ExecuteError::Rejected(Rejection::TransactionLost)), "{lost:?}");
    drop(patiently(stored).await.unwrap());
    base.at_rest().await;
    assert!(base.orders().await.is_empty() && base.records().await.is_empty());

    let ending = async |attempt| {
        let mut tx = insert::<B>(attempt).await;
        B::run(&mut tx, "COMMIT".into()).await.unwrap();
        Ok(1)
    };
    let lost = execute(&layer, "order", ending).await.unwrap_err();
    assert!(matches!(lost, ExecuteError::Rejected(Rejection::TransactionLost)), "{lost:?}");
    assert_eq!(
        (base.orders().await, base.records().await),
        (vec!["book".into()], vec!["pending".to_owned()])
    );
    base.at_rest().await;
}
