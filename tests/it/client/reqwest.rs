//! The layer as a middleware of reqwest-middleware.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use http::{Extensions, Version};
use reqwest::redirect::Policy;
use reqwest::{Body, Request, Response};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next, Result};
use tower_idempotency::client::{
    ClientLayer, Disposition, Error, ErrorKind, MemoryKeyStore, Operations, Report, Reported,
    observed_redirects,
};

use super::{Canned, Turn, quick};
use crate::support::Frames;

/// Counts what passes, and says so in the extensions.
#[derive(Clone, Default)]
struct Counter(Arc<AtomicUsize>);

/// How often a counter after the layer was passed.
#[derive(Clone, Debug, PartialEq)]
struct Passed(usize);

#[async_trait]
impl Middleware for Counter {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        self.0.fetch_add(1, Ordering::SeqCst);
        let passed = extensions.get::<Passed>().map_or(0, |passed| passed.0);
        extensions.insert(Passed(passed + 1));
        next.run(request, extensions).await
    }
}

impl Counter {
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

fn client(layer: ClientLayer) -> ClientWithMiddleware {
    let client = reqwest::Client::builder().redirect(observed_redirects(Policy::default()));
    ClientBuilder::new(client.build().unwrap()).with(layer).build()
}

/// What the client says of a result.
fn said(result: &impl Reported) -> Option<(Disposition, u32)> {
    result.report().map(|report| (report.disposition(), report.attempts()))
}

fn downcast(error: &reqwest_middleware::Error) -> &Error {
    let reqwest_middleware::Error::Middleware(error) = error else { panic!("{error:?}") };
    error.downcast_ref().unwrap()
}

#[tokio::test]
async fn operations_are_retried_as_they_are_through_tower() {
    let canned = Canned::turns([
        Turn::status(503),
        Turn::Fail,
        Turn::response(409, &[("retry-after", "0")], ""),
    ]);
    let (_server, uri) = canned.serve().await;
    let response =
        client(quick()).post(&uri).header("x-tenant", "seven").body("order").send().await.unwrap();
    assert_eq!(response.status(), 201);
    assert_eq!(response.url().as_str(), uri);
    assert_eq!(response.content_length(), Some(4));
    assert_eq!(said(&response), Some((Disposition::Final, 4)));
    assert_eq!(response.text().await.unwrap(), "done");
    let asked = canned.asked();
    assert_eq!(asked.len(), 4);
    for attempt in &asked {
        assert_eq!((attempt.key(), &*attempt.body), (asked[0].key(), &b"order"[..]));
        assert_eq!(attempt.head.headers, asked[0].head.headers);
        assert_eq!(attempt.head.headers["x-tenant"], "seven");
    }
}

#[tokio::test]
async fn a_request_without_a_key_passes_once() {
    let canned = Canned::ever(Turn::status(503));
    let (_server, uri) = canned.serve().await;
    let response = client(quick()).put(&uri).body("order").send().await.unwrap();
    assert_eq!((response.status().as_u16(), said(&response)), (503, None));
    assert_eq!((canned.count(), canned.asked()[0].keys()), (1, vec![]));
    // Its errors come from reqwest.
    let error = client(quick()).get("http://127.0.0.1:1/").send().await.unwrap_err();
    assert!(error.is_connect(), "{error:?}");
}

#[tokio::test]
async fn the_last_response_is_returned_when_the_time_is_over() {
    let canned = Canned::ever(Turn::response(503, &[], "busy"));
    let (_server, uri) = canned.serve().await;
    let response =
        client(quick().max_attempts(3.try_into().unwrap())).post(&uri).send().await.unwrap();
    assert_eq!((response.status().as_u16(), said(&response)), (503, Some((Disposition::Retry, 3))));
    assert_eq!(response.text().await.unwrap(), "busy");
    assert_eq!(canned.count(), 3);
}

#[tokio::test]
async fn streams_are_read_once_and_sent_whole_each_time() {
    let canned = Canned::turns([Turn::status(503)]);
    let (_server, uri) = canned.serve().await;
    let body = Body::wrap(Frames::unknown(&[b"or", b"d", b"er"]));
    let response = client(quick()).post(&uri).body(body).send().await.unwrap();
    assert_eq!(response.status(), 201);
    assert!(canned.asked().iter().all(|asked| asked.body == "order"));

    let broken = Body::wrap(Frames::unknown(&[b"or"]).broken());
    let error = client(quick()).post(&uri).body(broken).send().await.unwrap_err();
    assert_eq!(downcast(&error).kind(), ErrorKind::Unreadable);
    let error = client(quick().max_request(4)).post(&uri).body("order").send().await.unwrap_err();
    assert_eq!(downcast(&error).kind(), ErrorKind::TooLarge);
    assert_eq!(canned.count(), 2);
}

#[tokio::test]
async fn a_request_without_a_body_stays_without_one() {
    for body in [None, Some("")] {
        let direct = Canned::turns([]);
        let (_server, uri) = direct.serve().await;
        let mut request = reqwest::Client::new().post(&uri);
        if let Some(body) = body {
            request = request.body(body);
        }
        request.send().await.unwrap();

        let canned = Canned::turns([Turn::status(503)]);
        let (_server, uri) = canned.serve().await;
        let mut request = client(quick()).post(&uri);
        if let Some(body) = body {
            request = request.body(body);
        }
        request.send().await.unwrap();
        let length = |canned: &Canned, at: usize| {
            canned.asked()[at].head.headers.get("content-length").cloned()
        };
        assert_eq!(
            [length(&canned, 0), length(&canned, 1)],
            [length(&direct, 0), length(&direct, 0)],
            "{body:?}"
        );
    }
}

#[tokio::test]
async fn the_time_limit_of_a_request_holds_for_each_attempt() {
    let canned = Canned::turns([Turn::Hang, Turn::Hang]);
    let (_server, uri) = canned.serve().await;
    let request = client(quick()).post(&uri).timeout(Duration::from_millis(150)).body("order");
    let response = request.send().await.unwrap();
    assert_eq!((response.status().as_u16(), said(&response)), (201, Some((Disposition::Final, 3))));
}

type Noted = (Version, Option<Duration>);

/// Responds in place of the network, first with 503, and notes the version and the time limit of
/// each request.
#[derive(Clone, Default)]
struct Noting(Arc<Mutex<Vec<Noted>>>);

#[async_trait]
impl Middleware for Noting {
    async fn handle(&self, request: Request, _: &mut Extensions, _: Next<'_>) -> Result<Response> {
        let mut noted = self.0.lock().unwrap();
        noted.push((request.version(), request.timeout().copied()));
        let status = if noted.len() == 1 { 503 } else { 201 };
        Ok(http::Response::builder().status(status).body("").unwrap().into())
    }
}

#[tokio::test]
async fn each_attempt_has_the_version_and_the_time_limit_of_the_request() {
    let noting = Noting::default();
    let client =
        ClientBuilder::new(reqwest::Client::new()).with(quick()).with(noting.clone()).build();
    let limit = Duration::from_secs(7);
    let request =
        client.post("http://127.0.0.1:1/").version(Version::HTTP_10).timeout(limit).body("order");
    assert_eq!(request.send().await.unwrap().status(), 201);
    assert_eq!(*noting.0.lock().unwrap(), [(Version::HTTP_10, Some(limit)); 2]);
}

#[tokio::test]
async fn an_error_is_the_clients_and_its_source_is_reqwests() {
    let layer = quick().max_attempts(2.try_into().unwrap());
    let error = client(layer).post("http://127.0.0.1:1/").send().await.unwrap_err();
    let error = downcast(&error);
    assert_eq!(
        (error.kind(), error.attempts(), error.is_in_doubt()),
        (ErrorKind::Connection, 2, true)
    );
    let source =
        std::error::Error::source(error).unwrap().downcast_ref::<reqwest_middleware::Error>();
    assert!(source.unwrap().is_connect());
}

#[tokio::test]
async fn middleware_before_it_sees_the_operation_and_middleware_after_it_each_attempt() {
    let canned = Canned::turns([Turn::status(503), Turn::Fail]);
    let (_server, uri) = canned.serve().await;
    let (before, after) = (Counter::default(), Counter::default());
    let client = ClientBuilder::new(reqwest::Client::new());
    let client = client.with(before.clone()).with(quick()).with(after.clone()).build();
    let mut extensions = Extensions::new();
    extensions.insert("from outside");
    let request = reqwest::Client::new().post(&uri).body("order").build().unwrap();
    client.execute_with_extensions(request, &mut extensions).await.unwrap();
    assert_eq!((before.count(), after.count()), (1, 3));
    // What middleware says goes from attempt to attempt, and out to the caller.
    assert_eq!(extensions.get(), Some(&Passed(4)));
    assert_eq!(extensions.get(), Some(&"from outside"));
}

#[tokio::test]
async fn a_request_of_an_operation_is_bound_to_it() {
    let canned = Canned::turns([Turn::status(503)]);
    let (_server, uri) = canned.serve().await;
    let operations = Operations::new(MemoryKeyStore::new());
    let mut operation = operations.begin("payout 1").await.unwrap();
    let request = client(quick()).post(&uri).header("idempotency-key", "other").body("order");
    let response = operation.send_reqwest(request).await.unwrap();
    assert_eq!(response.report().and_then(Report::key), Some(operation.key()));
    assert!(canned.asked().iter().all(|asked| asked.key() == operation.key().as_str()));
    assert!(operation.finish().await.unwrap());
}
