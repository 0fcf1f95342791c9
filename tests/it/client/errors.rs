use std::error::Error as _;
use std::io;

use axum::body::{Body, Bytes};
use http::Request;
use http_body_util::{Full, Limited};
use tokio::time::Instant;
use tower::{Layer, ServiceExt};
use tower_idempotency::IdempotencyKey;
use tower_idempotency::client::{Error, ErrorKind, MemoryKeyStore, Operations, Reported};

use super::{Canned, Turn, ask, connections, post, quick};
use crate::support::{Frames, Gate, gated_stream};

fn streamed(body: Body) -> Request<Body> {
    Request::post("/").body(body).unwrap()
}

#[tokio::test]
async fn the_cause_of_a_lost_response_is_told() {
    let canned = Canned::ever(Turn::Fail);
    let layer = quick().max_attempts(2.try_into().unwrap());
    let error = ask(layer.clone(), canned, post("/")).await.unwrap_err();
    let source = error.source().unwrap().downcast_ref::<io::Error>().unwrap();
    assert_eq!(source.to_string(), "the script says so");
    assert_eq!(
        (error.kind(), error.attempts(), error.is_in_doubt()),
        (ErrorKind::Connection, 2, true)
    );

    // No server listens at port 1, so the error is hyper-util's own.
    let error = ask(layer, connections(), post("http://127.0.0.1:1/")).await.unwrap_err();
    let source = error.source().unwrap().downcast_ref::<hyper_util::client::legacy::Error>();
    assert!(source.unwrap().is_connect());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_too_large_is_not_sent() {
    let canned = Canned::turns([]);
    let layer = || quick().max_request(4);
    let bodies = [
        Body::from("order"),
        Body::new(Frames::unknown(&[b"or", b"de", b"r"])),
        Body::new(Limited::new(Full::new(Bytes::from("order")), 2)),
    ];
    for body in bodies {
        let error = ask(layer(), canned.clone(), streamed(body)).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.attempts(), error.is_in_doubt()),
            (ErrorKind::TooLarge, 0, false)
        );
    }
    assert_eq!(canned.count(), 0);
    ask(layer(), canned.clone(), streamed(Body::from("orde")))
        .await
        .unwrap()
        .assert_done("done", 1);
    ask(layer(), canned.clone(), streamed(Body::new(Frames::unknown(&[b"or", b"de"]))))
        .await
        .unwrap();
    assert_eq!(canned.asked()[1].body, "orde");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_be_read_is_not_sent() {
    let canned = Canned::turns([]);
    let broken = Body::new(Frames::unknown(&[b"ord"]).broken());
    let error = ask(quick(), canned.clone(), streamed(broken)).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.attempts(), error.is_in_doubt()),
        (ErrorKind::Unreadable, 0, false)
    );
    assert_eq!(canned.count(), 0);
}

#[tokio::test]
async fn errors_that_never_get_better_are_given_at_once() {
    let canned = Canned::ever(Turn::Fail);
    let layer = quick().retry_if(|error| !error.is::<io::Error>());
    let error = ask(layer.clone(), canned.clone(), post("/")).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts(), canned.count()), (ErrorKind::Connection, 1, 1));
    // An error that is not an io::Error still leads to a retry.
    let rejected = layer.max_attempts(3.try_into().unwrap());
    let error = ask(rejected, connections(), post("http://127.0.0.1:1/")).await.unwrap_err();
    assert_eq!(error.attempts(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_time_out_is_retried_whatever_is_said_of_errors() {
    let canned = Canned::turns([Turn::Hang]);
    let layer = quick().retry_if(|_| false);
    ask(layer, canned, post("/")).await.unwrap().assert_done("done", 2);
}

#[tokio::test]
async fn a_request_without_a_key_fails_with_an_error_that_reports_one_attempt() {
    let canned = Canned::ever(Turn::Fail);
    let get = Request::get("/").body(Full::<Bytes>::default()).unwrap();
    let error = ask(quick(), canned.clone(), get).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts(), canned.count()), (ErrorKind::Connection, 1, 1));
    assert!(error.source().is_some());
}

#[tokio::test]
async fn no_key_is_logged() {
    const KEY: &str = "a-key-that-must-stay-secret";
    let key = IdempotencyKey::parse(KEY.as_bytes()).unwrap();
    let operations = Operations::new(MemoryKeyStore::new());
    let operation = operations.begin_with_key("a", key.clone()).await.unwrap();
    let layer = quick().max_attempts(2.try_into().unwrap()).key_with(move |_, _| key.clone());
    let error = ask(layer.clone(), Canned::ever(Turn::Fail), post("/")).await.unwrap_err();
    let mut request = post("/");
    operation.mark(&mut request);
    let client = layer.layer(tower::service_fn(|request: Request<Full<Bytes>>| async move {
        Ok::<_, io::Error>(http::Response::new(Full::new(Bytes::from(format!("{request:?}")))))
    }));
    let said = [
        format!("{error} {error:?}"),
        format!("{layer:?}"),
        format!("{operation:?} {:?} {:?}", operation.stored(), operation.key()),
        format!("{request:?}"),
        format!("{operations:?} {:?}", operations.pending().await.unwrap()),
        String::from_utf8(ask(layer, client, post("/")).await.unwrap().body.to_vec()).unwrap(),
    ];
    for said in said {
        assert!(!said.contains(KEY), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_error_has_the_key_under_which_the_operation_can_be_asked_about() {
    let layer = || quick().max_attempts(1.try_into().unwrap());
    let canned = Canned::ever(Turn::Fail);
    let error: Error = ask(layer(), canned.clone(), post("/")).await.unwrap_err();
    assert_eq!(error.key().unwrap().as_str(), canned.asked()[0].key());

    for value in ["mine", "\"mine\""] {
        let mut request = post("/");
        request.headers_mut().insert("idempotency-key", value.parse().unwrap());
        let error = ask(layer(), Canned::ever(Turn::Hang), request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert_eq!(error.key().unwrap().as_str(), "mine");
    }
    // A request that was never sent has no key, nor does a request without one.
    let unsent = ask(layer().max_request(1), canned.clone(), post("/")).await.unwrap_err();
    assert!(unsent.key().is_none());
    let get = Request::get("/").body(Full::<Bytes>::default()).unwrap();
    assert!(ask(layer(), canned, get).await.unwrap_err().key().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_request_with_an_empty_key_is_not_sent() {
    let canned = Canned::turns([]);
    for (name, value) in [("x-idempotency-key", ""), ("idempotency-key", "\"\"")] {
        let mut request = post("/");
        request.headers_mut().insert(name, value.parse().unwrap());
        let error = ask(quick(), canned.clone(), request).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.attempts(), error.is_in_doubt()),
            (ErrorKind::Key, 0, false)
        );
    }
    assert_eq!(canned.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_body_never_ends_is_given_up_and_not_sent() {
    let canned = Canned::turns([]);
    let endless = gated_stream("or", "der", Gate::new());
    let begun = Instant::now();
    let error = ask(quick(), canned.clone(), streamed(endless)).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.attempts(), error.is_in_doubt()),
        (ErrorKind::Unreadable, 0, false)
    );
    assert_eq!(begun.elapsed().as_secs(), 60);
    assert_eq!(canned.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_response_that_is_not_definitive_tells_the_key_to_continue_under() {
    let canned = Canned::turns([Turn::status(422)]);
    let response = quick().layer(canned.clone()).oneshot(post("/")).await.unwrap();
    let key = response.report().unwrap().key().unwrap();
    assert_eq!(canned.asked()[0].head.headers["x-idempotency-key"], key.as_str());
}
