//! gRPC through the gateway, with tonic on both sides.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures_util::Stream;
use http::uri::PathAndQuery;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, StdError};
use tonic::server::{Grpc, NamedService, ServerStreamingService, UnaryService};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};
use tonic_prost::ProstCodec;

use super::gateway::{Gateway, file};
use super::raw::in_time;

const ROUTE: &str = "[[route]]\npath = \"/bank.Transfers/Send\"\nscope = \"everyone\"\n";

/// Counts transfers, and lists them in a stream.
#[derive(Clone, Default)]
struct Bank(Arc<AtomicUsize>);

impl NamedService for Bank {
    const NAME: &'static str = "bank.Transfers";
}

impl UnaryService<String> for Bank {
    type Response = String;
    type Future = BoxFuture<Response<String>, Status>;

    fn call(&mut self, request: Request<String>) -> Self::Future {
        let number = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        let asked = request.into_inner();
        Box::pin(async move {
            if asked == "too much" {
                return Err(Status::failed_precondition("too much"));
            }
            let mut response = Response::new(format!("{asked} {number}"));
            response.metadata_mut().insert("x-bank", "a".parse().unwrap());
            Ok(response)
        })
    }
}

struct Texts(mpsc::Receiver<Result<String, Status>>);

impl Stream for Texts {
    type Item = Result<String, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

impl ServerStreamingService<String> for Bank {
    type Response = String;
    type ResponseStream = Texts;
    type Future = BoxFuture<Response<Texts>, Status>;

    fn call(&mut self, request: Request<String>) -> Self::Future {
        let asked = request.into_inner();
        Box::pin(async move {
            let (sender, texts) = mpsc::channel(1);
            tokio::spawn(async move {
                for number in 0..1000 {
                    let _ = sender.send(Ok(format!("{asked} {number}"))).await;
                }
                let _ = sender.send(Err(Status::data_loss("the end"))).await;
            });
            Ok(Response::new(Texts(texts)))
        })
    }
}

impl tower_service::Service<http::Request<Body>> for Bank {
    type Response = http::Response<Body>;
    type Error = std::convert::Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let bank = self.clone();
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::<String, String>::default());
            Ok(match request.uri().path() {
                "/bank.Transfers/Send" => grpc.unary(bank, request).await,
                _ => grpc.server_streaming(bank, request).await,
            })
        })
    }
}

async fn serve(bank: Bank) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    let server = tonic::transport::Server::builder().add_service(bank);
    tokio::spawn(server.serve_with_incoming(incoming));
    address
}

type Client = tonic::client::Grpc<Channel>;

async fn client(gateway: &Gateway) -> Client {
    let channel = Channel::from_shared(format!("http://{}", gateway.address)).unwrap();
    tonic::client::Grpc::new(channel.connect().await.unwrap())
}

fn request(text: &str, key: &str) -> Request<String> {
    let mut request = Request::new(text.to_owned());
    request.metadata_mut().insert("idempotency-key", key.parse().unwrap());
    request
}

async fn send(client: &mut Client, text: &str, key: &str) -> Result<Response<String>, Status> {
    client.ready().await.map_err(StdError::from).unwrap();
    let path = PathAndQuery::from_static("/bank.Transfers/Send");
    in_time(
        "a call",
        client.unary(request(text, key), path, ProstCodec::<String, String>::default()),
    )
    .await
}

#[tokio::test]
async fn a_call_is_guarded_and_a_stream_passes_with_its_trailers() {
    let bank = Bank::default();
    let address = serve(bank.clone()).await;
    let upstream = format!("{{ url = \"http://{address}\", http2 = true }}");
    let gateway = Gateway::start(&file(&upstream, "", ROUTE)).await;
    let mut client = client(&gateway).await;
    for _ in 0..3 {
        let response = send(&mut client, "5 EUR", "k1").await.unwrap();
        assert_eq!(response.metadata().get("x-bank").unwrap(), "a");
        assert_eq!(response.get_ref(), "5 EUR 1");
    }
    assert_eq!(bank.0.load(Ordering::Relaxed), 1);
    let status = send(&mut client, "6 EUR", "k1").await.unwrap_err();
    assert_eq!(bank.0.load(Ordering::Relaxed), 1, "{status:?}");
    let status = send(&mut client, "too much", "k2").await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, "too much"));

    client.ready().await.map_err(StdError::from).unwrap();
    let path = PathAndQuery::from_static("/bank.Transfers/List");
    let codec = ProstCodec::<String, String>::default();
    let call = client.server_streaming(request("a", "k3"), path, codec);
    let mut stream = in_time("a stream", call).await.unwrap().into_inner();
    for number in 0..1000 {
        let text = in_time("a message", stream.message()).await.unwrap().unwrap();
        assert_eq!(text, format!("a {number}"));
    }
    let status = in_time("the trailers", stream.message()).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::DataLoss, "the end"));
}
