//! A server on a loopback socket, for as long as its handle lives.

use std::error::Error;
use std::net::SocketAddr;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tower::Service;

use super::patiently;

/// Serves HTTP/1.1 and HTTP/2 without TLS. Dropping it stops it, and cuts every connection.
pub(crate) struct Server {
    address: SocketAddr,
    ended: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start<S, B>(service: S) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<Box<dyn Error + Send + Sync>>,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (counter, ended) = watch::channel(0);
        let task = tokio::spawn(async move {
            let mut open = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let (stream, _) = accepted.unwrap();
                        stream.set_nodelay(true).unwrap();
                        let service = TowerToHyperService::new(service.clone());
                        open.spawn(async move {
                            let builder = Builder::new(TokioExecutor::new());
                            // A connection that the client cut, or a handler that panicked, is not the server's end.
                            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                        });
                    }
                    Some(_) = open.join_next() => {
                        counter.send_modify(|ended| *ended += 1);
                    }
                }
            }
        });
        Self { address, ended, task }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until `count` connections have ended on the server's side too.
    pub(crate) async fn ended(&self, count: usize) {
        let mut ended = self.ended.clone();
        patiently(ended.wait_for(|ended| *ended >= count))
            .await
            .expect("the server runs while its handle lives");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}
