//! The client among other Tower services.

use std::convert::Infallible;
use std::future::pending;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::time::Instant;
use tower::util::BoxCloneService;
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_idempotency::client::{Client, ClientFuture, ClientLayer, Error, ErrorKind};
use tower_idempotency::service::ResponseBody;

use super::canned::Played;
use super::{Canned, Turn, ask, patient, post, quick};
use crate::support::patiently;

/// Sends a request when the client is ready for it.
async fn begin<S: Service<Request<Full<Bytes>>>>(client: &mut S) -> S::Future {
    client.ready().await.unwrap_or_else(|_| panic!("the client is never ready")).call(post("/"))
}

#[tokio::test]
async fn a_future_that_is_dropped_ends_its_attempt_and_the_client_can_be_used_again() {
    let canned = Canned::turns([Turn::status(503), Turn::Hang]);
    let mut client = quick().layer(canned.clone());
    let call = tokio::spawn(begin(&mut client).await);
    canned.reached(2).await;
    assert_eq!(canned.ended(), 1);
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert_eq!(canned.ended(), 2);
    let response = begin(&mut client).await.await.unwrap();
    assert_eq!((response.status().as_u16(), canned.count()), (201, 3));
}

#[tokio::test(start_paused = true)]
async fn dropped_between_two_attempts_it_makes_no_more() {
    let canned = Canned::ever(Turn::response(503, &[("retry-after", "20")], ""));
    let call = tokio::spawn(ask(patient(), canned.clone(), post("/")));
    canned.reached(1).await;
    call.abort();
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(canned.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_limit_below_the_client_gets_its_permits_back_between_attempts() {
    let canned = Canned::turns([Turn::status(503), Turn::Hang, Turn::Fail, Turn::Hang]);
    let mut client =
        ServiceBuilder::new().layer(quick()).concurrency_limit(1).service(canned.clone());
    let response = patiently(begin(&mut client).await).await.unwrap();
    assert_eq!((response.status().as_u16(), canned.count()), (201, 5));
    // Nor is one lost with a future that is dropped.
    let canned = Canned::turns([Turn::Hang]);
    let mut client =
        ServiceBuilder::new().layer(quick()).concurrency_limit(1).service(canned.clone());
    let call = tokio::spawn(begin(&mut client).await);
    canned.reached(1).await;
    call.abort();
    let _ = call.await;
    let response = patiently(begin(&mut client).await).await.unwrap();
    assert_eq!(response.status(), 201);
}

#[tokio::test]
async fn many_at_once_share_a_limit_of_one_without_blocking_each_other() {
    let canned = Canned::turns(vec![Turn::status(503); 25]);
    let client = ServiceBuilder::new().layer(quick()).concurrency_limit(1).service(canned.clone());
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..20 {
        calls.spawn(client.clone().oneshot(post("/")));
    }
    for response in patiently(calls.join_all()).await {
        assert_eq!(response.unwrap().status(), 201);
    }
    assert_eq!(canned.count(), 45);
}

#[tokio::test]
async fn a_buffer_below_or_above_the_client_does_no_harm() {
    let canned = Canned::turns([Turn::status(503), Turn::Fail]);
    let client = ServiceBuilder::new().layer(quick()).buffer(1).service(canned.clone());
    ask(quick(), ServiceBuilder::new().buffer(1).service(canned), post("/"))
        .await
        .unwrap()
        .assert_done("done", 3);
    let client = ServiceBuilder::new().buffer(1).service(client);
    assert_eq!(client.oneshot(post("/")).await.unwrap().status(), 201);
}

fn assert_send_and_static<T: Send + 'static>() {}
fn assert_sync<T: Sync>() {}

#[tokio::test]
async fn it_can_be_boxed_and_sent_to_another_task() {
    type Boxed = BoxCloneService<Request<Full<Bytes>>, Response<ResponseBody<Played>>, Error>;
    let canned = Canned::turns([Turn::status(503)]);
    let client: Boxed = ServiceBuilder::new().boxed_clone().layer(quick()).service(canned);
    let response = tokio::spawn(client.oneshot(post("/"))).await.unwrap().unwrap();
    assert_eq!(response.status(), 201);

    assert_send_and_static::<Client<Canned>>();
    assert_send_and_static::<ClientFuture<<Canned as Service<Request<Full<Bytes>>>>::Future, Played>>(
    );
    assert_send_and_static::<Error>();
    assert_sync::<ClientLayer>();
    assert_sync::<Error>();
}

#[tokio::test]
async fn one_client_can_wrap_another() {
    let canned = Canned::turns([Turn::status(503), Turn::status(503)]);
    let inner = quick().max_attempts(2.try_into().unwrap()).layer(canned.clone());
    let response = ask(quick(), inner, post("/")).await.unwrap();
    assert_eq!(response.status, 201);
    let asked = canned.asked();
    assert!(asked.iter().all(|one| one.key() == asked[0].key()), "{asked:?}");
}

/// Ready for one call, and then never again.
#[derive(Clone)]
struct Once {
    readiness: std::sync::Arc<std::sync::atomic::AtomicUsize>,
    inner: Canned,
}

impl Service<Request<Full<Bytes>>> for Once {
    type Response = Response<Played>;
    type Error = std::io::Error;
    type Future = <Canned as Service<Request<Full<Bytes>>>>::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
        let is_ready = self.readiness.load(std::sync::atomic::Ordering::SeqCst) > 0;
        if is_ready { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        self.readiness.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
        self.inner.call(request)
    }
}

#[tokio::test(start_paused = true)]
async fn the_bound_holds_for_a_service_that_is_never_ready_again() {
    let canned = Canned::ever(Turn::status(503));
    let once = Once { readiness: std::sync::Arc::new(1.into()), inner: canned.clone() };
    let began = Instant::now();
    let error = ask(patient(), once, post("/")).await.unwrap_err();
    assert_eq!((error.kind(), error.is_in_doubt()), (ErrorKind::Timeout, true));
    assert!(error.attempts() > 5 && canned.count() == 1, "{error}");
    assert!(began.elapsed() <= Duration::from_millis(60_002), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_readiness_that_fails_is_an_error_of_the_connection() {
    #[derive(Clone)]
    struct Closed;
    impl Service<Request<Full<Bytes>>> for Closed {
        type Response = Response<Full<Bytes>>;
        type Error = std::io::Error;
        type Future = std::future::Pending<Result<Self::Response, Self::Error>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
            Poll::Ready(Err(std::io::Error::other("closed")))
        }
        fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
            pending()
        }
    }
    let error = ask(quick(), Closed, post("/")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection);
}

#[tokio::test]
async fn an_infallible_service_can_be_used() {
    let service = tower::service_fn(|_: Request<Full<Bytes>>| async {
        Ok::<_, Infallible>(
            Response::builder().status(201).body(Full::new(Bytes::from("done"))).unwrap(),
        )
    });
    ask(ClientLayer::new(), service, post("/")).await.unwrap().assert_done("done", 1);
}
