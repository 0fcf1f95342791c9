//! What `tonic-prost-build` would generate from the file below. It is shorter and written by hand,
//! so the example needs no `protoc`.
//!
//! ```proto
//! syntax = "proto3";
//! package bank;
//! service Transfers { rpc Send(Order) returns (Transfer); }
//! message Order { string to = 1; uint64 cents = 2; }
//! message Transfer { string id = 1; uint64 cents_left = 2; }
//! ```

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::uri::PathAndQuery;
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, client, server};
use tonic_prost::ProstCodec;

const SEND: &str = "/bank.Transfers/Send";

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Order {
    #[prost(string, tag = "1")]
    pub(crate) to: String,
    #[prost(uint64, tag = "2")]
    pub(crate) cents: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Transfer {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(uint64, tag = "2")]
    pub(crate) cents_left: u64,
}

pub(crate) trait Transfers: Clone + Send + Sync + 'static {
    fn send(&self, order: Request<Order>) -> Result<Response<Transfer>, Status>;
}

#[derive(Clone)]
pub(crate) struct TransfersServer<T>(pub(crate) T);

impl<T> server::NamedService for TransfersServer<T> {
    const NAME: &'static str = "bank.Transfers";
}

impl<T: Transfers> tower::Service<http::Request<Body>> for TransfersServer<T> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let transfers = self.0.clone();
        Box::pin(async move {
            if request.uri().path() != SEND {
                return Ok(Status::unimplemented("no such method").into_http());
            }
            let send = tower::service_fn(move |order| std::future::ready(transfers.send(order)));
            Ok(server::Grpc::new(ProstCodec::default()).unary(send, request).await)
        })
    }
}

/// Calls `Send`.
pub(crate) async fn send(
    bank: Channel,
    order: Request<Order>,
) -> Result<Response<Transfer>, Status> {
    let mut bank = client::Grpc::new(bank);
    bank.ready().await.map_err(|error| Status::from_error(error.into()))?;
    bank.unary(order, PathAndQuery::from_static(SEND), ProstCodec::default()).await
}
