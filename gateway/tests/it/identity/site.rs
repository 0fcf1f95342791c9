//! Servers of the tests: an upstream, and one with keys.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// An upstream, whose responses are numbered.
#[derive(Clone, Default)]
pub struct Upstream {
    pub url: String,
    requests: Arc<Mutex<Vec<HeaderMap>>>,
}

impl Upstream {
    pub async fn start() -> Self {
        let upstream = Self::default();
        let requests = Arc::clone(&upstream.requests);
        let (address, _) = serve("127.0.0.1:0".parse().unwrap(), move |request| {
            let mut requests = requests.lock().unwrap();
            requests.push(request);
            (StatusCode::CREATED, requests.len().to_string())
        })
        .await;
        Self { url: format!("http://{address}"), ..upstream }
    }

    /// One that a test itself serves.
    pub fn elsewhere(address: SocketAddr) -> Self {
        Self { url: format!("http://{address}"), ..Self::default() }
    }

    /// The headers of all requests.
    pub fn requests(&self) -> Vec<HeaderMap> {
        self.requests.lock().unwrap().clone()
    }
}

/// A server with a key set.
pub struct KeySite {
    pub address: SocketAddr,
    text: Arc<Mutex<String>>,
    serving: AbortHandle,
}

impl KeySite {
    pub async fn start(text: String) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), text).await
    }

    pub async fn start_at(address: SocketAddr, text: String) -> Self {
        let text = Arc::new(Mutex::new(text));
        let serves = Arc::clone(&text);
        let (address, serving) =
            serve(address, move |_| (StatusCode::OK, serves.lock().unwrap().clone())).await;
        Self { address, text, serving }
    }

    pub fn url(&self) -> String {
        format!("http://{}/jwks.json", self.address)
    }

    pub fn serve(&self, text: String) {
        *self.text.lock().unwrap() = text;
    }

    /// Closes the listener, so that the system refuses connections.
    pub fn stop(&self) {
        self.serving.abort();
    }
}

async fn serve(
    address: SocketAddr,
    respond: impl Fn(HeaderMap) -> (StatusCode, String) + Send + Sync + 'static,
) -> (SocketAddr, AbortHandle) {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let respond = Arc::new(respond);
    let serving = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let respond = Arc::clone(&respond);
            let service = service_fn(move |request: Request<Incoming>| {
                let respond = Arc::clone(&respond);
                async move {
                    let (head, body) = request.into_parts();
                    let _ = body.collect().await;
                    let (status, text) = respond(head.headers);
                    let mut response = Response::new(Full::new(Bytes::from(text)));
                    *response.status_mut() = status;
                    Ok::<_, Infallible>(response)
                }
            });
            let server = hyper::server::conn::http1::Builder::new();
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    (address, serving.abort_handle())
}
