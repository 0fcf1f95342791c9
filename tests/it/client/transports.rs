//! hyper-util's client over HTTP/1 and HTTP/2.

use axum::body::Bytes;
use http::{Version, header};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use super::{Canned, Turn, ask, connections, post, quick};

#[tokio::test]
async fn over_http_1_and_http_2_operations_are_retried_alike() {
    let over_2 = Client::builder(TokioExecutor::new()).http2_only(true).build_http::<Full<Bytes>>();
    for (connections, version) in [(connections(), Version::HTTP_11), (over_2, Version::HTTP_2)] {
        let turns =
            [Turn::Fail, Turn::response(429, &[("retry-after", "0")], "slow down"), Turn::Fail];
        let canned = Canned::turns(turns);
        let (_server, uri) = canned.serve().await;
        let response = ask(quick(), connections.clone(), post(&uri)).await.unwrap();
        response.assert_done("done", 4);
        assert_eq!(response.headers[header::CONTENT_LENGTH], "4");
        let asked = canned.asked();
        for attempt in &asked {
            assert_eq!((attempt.head.version, &*attempt.body), (version, &b"order"[..]));
            assert_eq!(attempt.key(), asked[0].key());
            assert_eq!(attempt.head.headers[header::CONTENT_LENGTH], "5");
        }
    }
}

#[tokio::test]
async fn an_empty_response_and_an_empty_request_stay_empty() {
    let canned = Canned::turns([Turn::status(503), Turn::status(204)]);
    let (_server, uri) = canned.serve().await;
    let request = http::Request::post(uri).body(Full::<Bytes>::default()).unwrap();
    let response = ask(quick(), connections(), request).await.unwrap();
    assert_eq!(
        (response.status.as_u16(), &*response.body, response.attempts),
        (204, &b""[..], Some(2))
    );
    assert!(canned.asked().iter().all(|asked| asked.body.is_empty()));
}
