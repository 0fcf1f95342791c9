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

#[tokio::test]
async fn a_result_says_whether_an_attempt_may_have_had_an_effect() {
    let [busy, invalid] = [503, 422].map(Turn::status);
    for (turns, is_in_doubt) in [
        (vec![invalid.clone()], false),
        (vec![busy.clone(), invalid], true),
        (vec![busy, Turn::done()], false),
    ] {
        let canned = Canned::turns(turns);
        let result = quick().layer(canned).oneshot(post("/")).await;
        assert_eq!(result.report().unwrap().is_in_doubt(), is_in_doubt);
    }
    let client = quick().max_attempts(1.try_into().unwrap()).layer(Canned::ever(Turn::Fail));
    let result = client.oneshot(post("/")).await;
    assert_eq!(
        result.report().map(|report| (report.is_in_doubt(), report.status())),
        Some((true, None))
    );
}

#[tokio::test]
async fn a_response_that_was_not_stored_has_the_status_that_it_had() {
    let problem = |original: u16| {
        let body =
            format!(r#"{{"code":"idempotency_result_not_retained","original_status":{original}}}"#);
        Turn::response(409, &[("content-type", "application/problem+json")], &body)
    };
    for (turn, status) in
        [(problem(201), Some(201)), (problem(9), None), (Turn::status(404), Some(404))]
    {
        let result = quick().layer(Canned::turns([turn])).oneshot(post("/")).await;
        assert_eq!(result.report().unwrap().status().map(|status| status.as_u16()), status);
    }
}
