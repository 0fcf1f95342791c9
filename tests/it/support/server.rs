//! A server on a loopback socket, for as long as its handle lives.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tower::util::BoxCloneService;
use tower::{BoxError, Service, ServiceExt};

use super::patiently;

type Boxed = UnsyncBoxBody<Bytes, io::Error>;

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
        S::Error: Into<BoxError>,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let service = service.map_response(|response| {
            response.map(|body| body.map_err(io::Error::other).boxed_unsync())
        });
        // Boxed, because hyper's servers are much code: one type of service compiles them once.
        Self::serve(BoxCloneService::new(service.map_err(io::Error::other))).await
    }

    async fn serve(
        service: BoxCloneService<Request<Incoming>, Response<Boxed>, io::Error>,
    ) -> Self {
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
                            // A connection that the client cut, or a handler that panicked, is not
                            // the server's end.
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
