//! The listeners for clients.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;

use crate::file::Limits;
use crate::gateway::{Body, Gateway, Peer};
use crate::http2;
use crate::identity::caller;
use crate::proxy::{Client, Place, chain};
use crate::telemetry::Open;
use crate::tls::H2;
use crate::workers::Workers;

mod framing;

use framing::{Framed, Most, Patience, UpgradedFlag};

/// How long to wait after an error of `accept`, which is mostly "too many open files".
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts the connections of a listener until it is dropped, and gives them to the workers.
pub(crate) async fn accept(listener: TcpListener, places: Arc<Semaphore>, workers: Workers) {
    let mut turn = 0;
    loop {
        // The next connection waits in the listener until there is a place for it.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let accepted = listener.accept().await;
        let given =
            accepted.and_then(|(stream, address)| workers.give(turn, stream, address, place));
        match given {
            Ok(()) => turn += 1,
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted: it is tried again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Serves the connections of one worker.
pub(crate) struct Server {
    gateway: Gateway,
    builder: Builder<TokioExecutor>,
    most: Most,
    graceful: GracefulShutdown,
}

impl Server {
    pub(crate) fn new(gateway: Gateway) -> Self {
        let (builder, most) = builder(&gateway);
        Self { gateway, builder, most, graceful: GracefulShutdown::new() }
    }

    /// Serves a connection in a task of its own.
    pub(crate) fn serve(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        place: OwnedSemaphorePermit,
    ) {
        // Small writes, such as a response without a body, are not held back.
        let _ = stream.set_nodelay(true);
        let (server, gateway, most) = (self.builder.clone(), self.gateway.clone(), self.most);
        let watcher = self.graceful.watcher();
        tokio::spawn(async move {
            let _open = Open::connection();
            let place = Place::from(place);
            converse(stream, address, place, gateway, server, most, watcher).await;
        });
    }

    /// Lets each connection end its request, and waits for that.
    pub(crate) async fn drained(self) {
        self.graceful.shutdown().await;
    }
}

/// One connection, with TLS if the plan of this moment has it.
async fn converse(
    stream: TcpStream,
    address: SocketAddr,
    place: Place,
    gateway: Gateway,
    server: Builder<TokioExecutor>,
    most: Most,
    watcher: Watcher,
) {
    let (tls, patience) = {
        let plan = gateway.plan();
        let patience = Patience { begin: plan.timeouts.head.0, idle: plan.timeouts.idle.0 };
        (plan.tls.clone(), patience)
    };
    let Some(tls) = tls else {
        let peer = Peer { client: Client::new(address, false), certificate: None, place };
        return speak(Framed::new(stream, most, patience), peer, gateway, server, watcher).await;
    };
    let stream =
        match tokio::time::timeout(patience.begin, TlsAcceptor::from(tls).accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                return tracing::debug!(%address, error = %chain(&error), "a TLS handshake failed");
            }
            Err(_) => return tracing::debug!(%address, "a TLS handshake took too long"),
        };
    let (_, session) = stream.get_ref();
    let certificate = session.peer_certificates().and_then(<[_]>::first).and_then(caller);
    let is_http2 = session.alpn_protocol() == Some(H2);
    let peer = Peer { client: Client::new(address, true), certificate, place };
    if is_http2 {
        // Without upgrades, because hyper would then accept HTTP/1.1 too, with its framing unchecked.
        let service = service(peer, gateway, UpgradedFlag::default());
        let server = server.http2_only();
        let io = TokioIo::new(Framed::of_http2(stream, most, patience));
        let connection = server.serve_connection(io, service);
        told(address, watcher.watch(connection.into_owned()).await);
    } else {
        speak(Framed::new(stream, most, patience), peer, gateway, server, watcher).await;
    }
}

async fn speak<I>(
    io: Framed<I>,
    peer: Peer,
    gateway: Gateway,
    server: Builder<TokioExecutor>,
    watcher: Watcher,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let address = peer.client.address;
    let service = service(peer, gateway, io.upgraded());
    let connection = server.serve_connection_with_upgrades(TokioIo::new(io), service);
    told(address, watcher.watch(connection.into_owned()).await);
}

fn service(
    peer: Peer,
    gateway: Gateway,
    upgraded: UpgradedFlag,
) -> impl Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Send + 'static>
{
    let peer = Arc::new(peer);
    service_fn(move |request| {
        let (gateway, peer, upgraded) = (gateway.clone(), Arc::clone(&peer), upgraded.clone());
        async move {
            let response = gateway.respond(request, &peer).await;
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                upgraded.note();
            }
            Ok::<_, Infallible>(response)
        }
    })
}

fn told(address: SocketAddr, ended: Result<(), Box<dyn Error + Send + Sync>>) {
    if let Err(error) = ended {
        tracing::debug!(%address, error = %chain(&*error), "a connection ended early");
    }
}

/// How connections are served, and the largest head that is taken.
fn builder(gateway: &Gateway) -> (Builder<TokioExecutor>, Most) {
    let plan = gateway.plan();
    let Limits { head, headers, streams, .. } = plan.limits;
    let most = Most { bytes: head.0.max(8 << 10), headers };
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(plan.timeouts.head.0)
        .max_headers(headers)
        .max_buf_size(most.bytes);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(streams)
        .max_header_list_size(u32::try_from(head.0).unwrap_or(u32::MAX))
        .initial_stream_window_size(http2::OF_CLIENTS.stream)
        .initial_connection_window_size(http2::OF_CLIENTS.connection)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20));
    (builder, most)
}

/// Whether the next connection may be better.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
