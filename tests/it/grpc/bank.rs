//! A service of tonic behind the layer, and a client to it.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::uri::PathAndQuery;
use hyper::body::Incoming;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status, client, server};
use tonic_prost::ProstCodec;
use tonic_types::{ErrorDetails, StatusExt};
use tower::{ServiceBuilder, service_fn};
use tower_idempotency::RequestBody;

use crate::support::{Effects, Server, TestLayer, patiently};

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Order {
    #[prost(string, tag = "1")]
    pub(super) to: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Receipt {
    #[prost(string, tag = "1")]
    pub(super) text: String,
}

pub(super) type CallResult = Result<Response<Receipt>, Status>;

pub(super) fn receipt(text: impl Into<String>) -> Response<Receipt> {
    Response::new(Receipt { text: text.into() })
}

/// Starts a server whose handler enters its run in `effects` before tonic reads the message.
pub(super) async fn start<F, Fut>(layer: TestLayer, effects: &Effects, response: F) -> Server
where
    F: Fn(Request<Order>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = CallResult> + Send + 'static,
{
    start_boxed(layer, effects, Arc::new(move |request| Box::pin(response(request)))).await
}

type Handler =
    Arc<dyn Fn(Request<Order>) -> Pin<Box<dyn Future<Output = CallResult> + Send>> + Send + Sync>;

async fn start_boxed(layer: TestLayer, effects: &Effects, response: Handler) -> Server {
    let effects = effects.clone();
    let service = service_fn(move |request: http::Request<RequestBody<Incoming>>| {
        let (effects, response) = (effects.clone(), response.clone());
        async move {
            let (head, body) = request.into_parts();
            effects.add(head.clone());
            let request = http::Request::from_parts(head, body);
            let response = server::Grpc::new(ProstCodec::default())
                .unary(service_fn(move |request| response(request)), request)
                .await;
            Ok::<_, Infallible>(response)
        }
    });
    let stack = ServiceBuilder::new()
        .map_request(|request: http::Request<Incoming>| request.map(RequestBody::new))
        .layer(layer);
    Server::start(stack.service(service)).await
}

/// Starts a server whose handler responds with the number of its run.
pub(super) async fn counting(layer: TestLayer, effects: &Effects) -> Server {
    let ledger = effects.clone();
    start(layer, effects, move |_| {
        let run = ledger.count();
        async move { Ok(receipt(format!("run {run}"))) }
    })
    .await
}

/// A call, to be sent on a connection of its own.
#[derive(Clone)]
pub(super) struct Call {
    order: Order,
    key: Option<String>,
}

pub(super) fn call(key: &str) -> Call {
    Call { order: Order { to: "acct_2".into() }, key: Some(key.into()) }
}

impl Call {
    pub(super) fn without_key(self) -> Self {
        Self { key: None, ..self }
    }

    pub(super) fn to(self, to: &str) -> Self {
        Self { order: Order { to: to.into() }, ..self }
    }

    pub(super) async fn send(&self, server: &Server) -> CallResult {
        let endpoint = Endpoint::from_shared(format!("http://{}", server.address())).unwrap();
        let channel: Channel = endpoint.connect_lazy();
        let mut client = client::Grpc::new(channel).max_decoding_message_size(usize::MAX);
        let mut request = Request::new(self.order.clone());
        if let Some(key) = &self.key {
            request.metadata_mut().insert("x-idempotency-key", key.parse().unwrap());
        }
        let path = PathAndQuery::from_static("/bank.Transfers/Send");
        patiently(client.ready()).await.unwrap();
        patiently(client.unary(request, path, ProstCodec::default())).await
    }
}

/// Asserts that this is the handler's own message.
#[track_caller]
pub(super) fn assert_first(response: &CallResult, text: &str) {
    let response = response.as_ref().expect("a message");
    assert_eq!(response.get_ref().text, text);
    assert!(!response.metadata().contains_key("x-idempotent-result"));
}

/// Asserts that this is a replay of a message.
#[track_caller]
pub(super) fn assert_replays(response: &CallResult, text: &str) {
    let response = response.as_ref().expect("a message");
    assert_eq!(response.get_ref().text, text);
    assert_eq!(response.metadata().get("x-idempotent-result").unwrap(), "true");
}

/// Asserts that this is a rejection by the layer with this code and reason; returns its details.
#[track_caller]
pub(super) fn assert_rejected(
    response: &CallResult,
    code: tonic::Code,
    reason: &str,
) -> ErrorDetails {
    let status = response.as_ref().expect_err("a rejection");
    assert_eq!(status.code(), code, "{status:?}");
    assert!(!status.message().is_empty());
    assert!(!status.metadata().contains_key("x-idempotent-result"), "a rejection is not a result");
    let details = status.check_error_details().unwrap();
    let info = details.error_info().expect("an ErrorInfo");
    assert_eq!((&*info.reason, &*info.domain), (reason, "tower-idempotency"));
    let pushback =
        status.metadata().get("grpc-retry-pushback-ms").map(|value| value.to_str().unwrap());
    match code {
        tonic::Code::Aborted | tonic::Code::Unavailable => {
            let delay = details.retry_info().expect("a RetryInfo").retry_delay.unwrap();
            assert_eq!(pushback.unwrap().parse::<u128>().unwrap(), delay.as_millis());
            assert!(status.metadata().contains_key("retry-after"));
        }
        tonic::Code::AlreadyExists | tonic::Code::FailedPrecondition => {
            assert_eq!(pushback, Some("-1"));
            assert_eq!(status.metadata().get("x-should-retry").unwrap(), "false");
        }
        _ => assert_eq!((pushback, details.retry_info().is_some()), (None, false)),
    }
    details
}
