//! The client side: over real sockets, against servers that respond by script and against the
//! layer itself.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/mod.rs"]
mod support;

mod canned;

mod errors;
mod histories;
mod keys;
mod lost_responses;
mod operations;
mod profiles;
mod redirects;
mod rejections;
mod reports;
#[cfg(feature = "client-reqwest")]
mod reqwest;
mod retention;
mod services;
#[cfg(feature = "client-reqwest")]
mod table;
mod transports;
mod waiting;

// What needs the sandbox as a process.
#[cfg(feature = "redis")]
mod killed;
#[cfg(feature = "redis")]
mod lossy;
#[cfg(all(feature = "redis", unix))]
mod recipe;
#[cfg(all(feature = "redis", feature = "client-reqwest"))]
mod walk;

use std::time::Duration;

use axum::body::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tower::retry::budget::TpsBudget;
use tower::{Layer, Service, ServiceExt};
use tower_idempotency::client::{ClientLayer, Disposition, Error, Report};

use crate::support::patiently;
use canned::{Canned, Turn};

type Connections = legacy::Client<HttpConnector, Full<Bytes>>;

fn connections() -> Connections {
    legacy::Client::builder(TokioExecutor::new()).build_http()
}

/// A client that hardly waits, and whose budget no test uses up.
fn quick() -> ClientLayer {
    patient().backoff(Duration::from_millis(1), Duration::from_millis(2))
}

/// A client with the waits that are the default, and a budget that no test uses up.
fn patient() -> ClientLayer {
    ClientLayer::new().budget(TpsBudget::new(Duration::from_secs(10), 1000, 10.0))
}

fn post(uri: impl AsRef<str>) -> Request<Full<Bytes>> {
    Request::post(uri.as_ref()).body(Full::from("order")).unwrap()
}

/// A response that was read to its end, and what the client says of it.
#[derive(Debug)]
struct Received {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    disposition: Option<Disposition>,
    attempts: Option<u32>,
}

impl Received {
    /// Asserts that this is the response of a finished operation, after so many attempts.
    #[track_caller]
    fn assert_done(&self, body: &str, attempts: u32) {
        assert_eq!((self.status.as_u16(), &*self.body), (201, body.as_bytes()), "{self:?}");
        let said = (self.disposition, self.attempts);
        assert_eq!(said, (Some(Disposition::Final), Some(attempts)), "{self:?}");
    }
}

/// Sends a request through the layer, and reads the response.
async fn ask<S, B, R>(layer: ClientLayer, inner: S, request: Request<B>) -> Result<Received, Error>
where
    ClientLayer: Layer<S>,
    <ClientLayer as Layer<S>>::Service: Service<Request<B>, Response = Response<R>, Error = Error>,
    R: http_body::Body<Data = Bytes>,
    R::Error: std::fmt::Debug,
{
    let (head, body) = layer.layer(inner).oneshot(request).await?.into_parts();
    let body = patiently(body.collect()).await.unwrap().to_bytes();
    let report = head.extensions.get();
    let attempts = report.map(Report::attempts);
    let disposition = report.map(Report::disposition);
    Ok(Received { status: head.status, headers: head.headers, body, disposition, attempts })
}
