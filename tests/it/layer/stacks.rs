//! The layer among those of tower, whose errors are not `Infallible`.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tower::buffer::BufferLayer;
use tower::limit::ConcurrencyLimitLayer;
use tower::timeout::TimeoutLayer;
use tower::{BoxError, Service, ServiceBuilder, service_fn};
use tower_idempotency::{InFlight, PreviousAttempt, RequestBody};

use crate::support::{Effects, Gate, Server, layer, post};

type Body = RequestBody<Incoming>;

fn wrap(request: Request<Incoming>) -> Request<Body> {
    request.map(RequestBody::new)
}

/// A service that enters its run in `effects`, waits at the gate, and responds with the number
/// of its run.
fn numbering(
    effects: &Effects,
    gate: &Gate,
) -> impl Service<
    Request<Body>,
    Response = Response<Full<Bytes>>,
    Error = BoxError,
    Future = impl Future<Output = Result<Response<Full<Bytes>>, BoxError>> + Send + 'static,
> + Clone
+ Send
+ 'static {
    let (effects, gate) = (effects.clone(), gate.clone());
    service_fn(move |request: Request<Body>| {
        effects.add(request.into_parts().0);
        let (run, gate) = (effects.count(), gate.clone());
        async move {
            gate.passed().await;
            Ok(Response::new(Full::new(Bytes::from(format!("run {run}")))))
        }
    })
}

fn open() -> Gate {
    let gate = Gate::new();
    gate.open();
    gate
}

/// Sends two operations, a retry of each, and another one under the key of the first.
async fn assert_guarded(server: &Server, effects: &Effects) {
    for (key, response) in [("order-1001", "run 1"), ("order-1002", "run 2")] {
        let first = post("/").key(key).body("body").send(server).await;
        first.assert_first(200, response);
        post("/").key(key).body("body").send(server).await.assert_replays(&first);
    }
    post("/")
        .key("order-1001")
        .body("other")
        .send(server)
        .await
        .assert_rejected(409, "idempotency_key_reused");
    assert_eq!(effects.count(), 2);
}

#[tokio::test]
async fn with_a_buffer_on_both_sides_it_guards() {
    let effects = Effects::new();
    let stack = ServiceBuilder::new()
        .map_request(wrap)
        .layer(BufferLayer::new(8))
        .layer(layer())
        .layer(BufferLayer::new(8))
        .service(numbering(&effects, &open()));
    assert_guarded(&Server::start(stack).await, &effects).await;
}

#[tokio::test]
async fn with_a_limit_of_concurrent_requests_on_both_sides_it_guards() {
    let effects = Effects::new();
    let stack = ServiceBuilder::new()
        .map_request(wrap)
        .layer(ConcurrencyLimitLayer::new(1))
        .layer(layer())
        .layer(ConcurrencyLimitLayer::new(1))
        .service(numbering(&effects, &open()));
    assert_guarded(&Server::start(stack).await, &effects).await;
}

#[tokio::test]
async fn with_all_of_them_on_both_sides_it_guards() {
    let effects = Effects::new();
    let stack = ServiceBuilder::new()
        .map_request(wrap)
        .layer(BufferLayer::new(8))
        .layer(TimeoutLayer::new(Duration::from_mins(1)))
        .layer(ConcurrencyLimitLayer::new(2))
        .layer(layer())
        .layer(BufferLayer::new(8))
        .layer(TimeoutLayer::new(Duration::from_mins(1)))
        .layer(ConcurrencyLimitLayer::new(2))
        .service(numbering(&effects, &open()));
    assert_guarded(&Server::start(stack).await, &effects).await;
}

#[tokio::test]
async fn a_timeout_of_tower_outside_ends_the_wait_and_not_the_operation() {
    let (effects, gate) = (Effects::new(), Gate::new());
    let layer = layer().in_flight(InFlight::Wait(Duration::from_mins(1)));
    let service = ServiceBuilder::new().layer(layer).service(numbering(&effects, &gate));
    let timeout = TimeoutLayer::new(Duration::from_millis(20));
    let impatient = ServiceBuilder::new().map_request(wrap).layer(timeout).service(service.clone());
    let patient = ServiceBuilder::new().map_request(wrap).service(service);
    let (impatient, patient) = (Server::start(impatient).await, Server::start(patient).await);
    let call = post("/").key("order-1001");

    assert_eq!(
        call.send(&impatient).await.status,
        0,
        "hyper cuts the connection on an error of a service"
    );
    effects.reached(1).await;
    let retry = call.begin(&patient, usize::MAX).await;
    gate.open();
    let response = call.finish(retry).await;
    assert_eq!((response.status, response.text(), response.is_replay()), (200, "run 1", true));
    assert_eq!(effects.attempts(), [(1, None)]);
}

#[tokio::test]
async fn a_timeout_of_tower_inside_is_a_failed_attempt() {
    let (effects, gate) = (Effects::new(), Gate::new());
    let stack = ServiceBuilder::new()
        .map_request(wrap)
        .layer(layer())
        .layer(TimeoutLayer::new(Duration::from_millis(500)))
        .service(numbering(&effects, &gate));
    let server = Server::start(stack).await;
    let call = post("/").key("order-1001");
    assert_eq!(call.send(&server).await.status, 0);
    gate.open();
    call.send(&server).await.assert_first(200, "run 2");
    assert_eq!(
        effects.attempts(),
        [(1, None), (2, Some(PreviousAttempt::Failed { status: None }))]
    );
}
