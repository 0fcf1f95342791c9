//! The tables of the guide `statuses`: every store is held to every row of them.

use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use tower::{Layer, ServiceExt, service_fn};
use tower_idempotency::store::RecordStatus;
use tower_idempotency::{IdempotencyKey, Scope};

use self::sweep::{After, sweep};
use self::table::Meaning;
use crate::support::{TestLayer, layer, store};

mod cases;
mod sweep;
mod table;

#[tokio::test(flavor = "multi_thread")]
async fn every_response_means_what_its_row_says_on_memory() {
    sweep(store(), cases::all(), &[After::Nothing, After::Abandoned, After::Failed]).await;
}

#[cfg(feature = "grpc")]
#[tokio::test(flavor = "multi_thread")]
async fn every_response_to_a_grpc_request_that_is_not_grpc_means_what_it_means_over_http() {
    sweep(store(), cases::not_grpc(), &[After::Nothing, After::Abandoned, After::Failed]).await;
}

/// What the record of a first attempt with this status says.
async fn meaning(layer: &TestLayer, status: u16) -> Meaning {
    let name = format!("order-{status}");
    let handler = service_fn(move |_: Request<Body>| {
        std::future::ready(Response::builder().status(status).body(Body::empty()))
    });
    // A String of RFC 9651, which every profile reads.
    let request =
        Request::post("/").header("idempotency-key", format!("\"{name}\"")).body(Body::empty());
    layer.layer(handler).oneshot(request.unwrap()).await.unwrap();
    let key = IdempotencyKey::parse(name.as_bytes()).unwrap();
    match layer.inspect(&Scope::anonymous(), &key).await.unwrap().map(|record| record.status()) {
        None => Meaning::Discarded,
        Some(RecordStatus::Success) => Meaning::Stored,
        Some(RecordStatus::Failed) => Meaning::Failed,
        Some(other) => panic!("{status} is {other}"),
    }
}

#[tokio::test]
async fn each_profile_judges_as_its_column_says() {
    let [default, stripe] =
        [layer(), layer().stripe()].map(|layer| layer.retention(Duration::from_hours(1)));
    #[cfg(feature = "strict-keys")]
    let ietf = layer().ietf();
    for (status, [by_default, by_ietf, by_stripe]) in table::profiles() {
        assert_eq!(meaning(&default, status).await, by_default, "{status}");
        assert_eq!(meaning(&stripe, status).await, by_stripe, "{status} under stripe");
        #[cfg(feature = "strict-keys")]
        assert_eq!(meaning(&ietf, status).await, by_ietf, "{status} under ietf");
        #[cfg(not(feature = "strict-keys"))]
        let _ = by_ietf;
    }
}

#[test]
fn the_tables_agree_on_the_default() {
    let rows = table::over_http();
    let of_profiles = table::profiles();
    assert!(rows.iter().all(|(status, row)| of_profiles[status][0] == row.meaning));
}

/// Sixteen codes and `OK`; a number that gRPC does not define; none; and the one that may say when
/// to retry.
#[cfg(feature = "grpc")]
#[test]
fn the_table_of_grpc_has_every_code() {
    let rows = table::over_grpc();
    for code in 0..=16 {
        let named = rows.keys().filter(|name| name.starts_with(&format!("{code} ")));
        assert_eq!(named.count(), if code == 10 { 2 } else { 1 }, "{code}");
    }
    assert_eq!(rows.len(), 17 + 3);
}
