//! One way to ask any result what it means.

use axum::body::Bytes;
use http::Request;
use http_body_util::Full;
use tower::{BoxError, Layer, ServiceBuilder, ServiceExt};
use tower_idempotency::client::{Disposition, Error, Report, Reported};

use super::{Canned, Turn, post, quick};

#[track_caller]
fn assert_says(result: &impl Reported, disposition: Disposition, attempts: u32, canned: &Canned) {
    let report = result.report().unwrap();
    assert_eq!((report.disposition(), report.attempts()), (disposition, attempts));
    assert_eq!(report.key().unwrap().as_str(), canned.asked()[0].key());
}

#[tokio::test]
async fn a_response_an_error_and_a_result_of_both_are_asked_alike() {
    let layer = quick().max_attempts(2.try_into().unwrap());
    for (turn, disposition, attempts) in [
        (Turn::done(), Disposition::Final, 1),
        (Turn::status(404), Disposition::Final, 1),
        (Turn::status(422), Disposition::Unknown, 1),
        (Turn::status(503), Disposition::Retry, 2),
        (Turn::Fail, Disposition::Unknown, 2),
    ] {
        let canned = Canned::ever(turn);
        let result = layer.layer(canned.clone()).oneshot(post("/")).await;
        assert_says(&result, disposition, attempts, &canned);
        match result {
            Ok(response) => assert_says(&response, disposition, attempts, &canned),
            Err(error) => assert_says(&error, disposition, attempts, &canned),
        }
    }
}

#[tokio::test]
async fn an_error_that_another_service_wraps_is_asked_too() {
    let layer = quick().max_attempts(2.try_into().unwrap());
    let canned = Canned::ever(Turn::Fail);
    let client = ServiceBuilder::new().buffer(1).layer(layer).service(canned.clone());
    let error: BoxError = client.oneshot(post("/")).await.map(drop).unwrap_err();
    assert_says(&error, Disposition::Unknown, 2, &canned);
    let foreign: BoxError = "not of this client".into();
    assert_eq!(foreign.report(), None);
}

#[tokio::test]
async fn a_request_without_a_key_has_no_report_but_its_error_has() {
    let get = || Request::get("/").body(Full::<Bytes>::default()).unwrap();
    let response = quick().layer(Canned::turns([])).oneshot(get()).await.unwrap();
    assert_eq!(response.report(), None);
    let error: Error = quick().layer(Canned::ever(Turn::Fail)).oneshot(get()).await.unwrap_err();
    assert_eq!(error.report().map(Report::key), Some(None));
}
