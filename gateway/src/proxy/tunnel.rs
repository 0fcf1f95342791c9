//! Connections that became something else than HTTP, such as `WebSockets`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Response, StatusCode, Version};
use http_body::Body;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use super::body::{RequestBody, ResponseBody};
use super::failure::problem;
use super::{finish, headers, told};
use crate::telemetry::Open;

const BUFFER: usize = 16 << 10;

/// The place of a connection among all that the gateway has. A tunnel takes it over.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    _permit: Arc<OwnedSemaphorePermit>,
}

impl From<OwnedSemaphorePermit> for Place {
    fn from(permit: OwnedSemaphorePermit) -> Self {
        Self { _permit: Arc::new(permit) }
    }
}

/// The client's side of a connection that may become a tunnel.
pub(super) struct Side {
    upgrade: OnUpgrade,
    place: Option<Place>,
}

/// All upgraded connections of the gateway.
#[derive(Clone)]
pub(crate) struct Tunnels {
    idle: Duration,
    /// Tells them that the process ends. Each holds a receiver.
    end: Arc<watch::Sender<bool>>,
}

impl Tunnels {
    pub(crate) fn new(idle: Duration) -> Self {
        Self { idle, end: Arc::new(watch::Sender::new(false)) }
    }

    /// The same tunnels, with another limit for those that come.
    pub(crate) fn with_idle(&self, idle: Duration) -> Self {
        Self { idle, end: Arc::clone(&self.end) }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.end.receiver_count()
    }

    /// Waits until all have ended by themselves.
    pub(crate) async fn drained(&self) {
        self.end.closed().await;
    }

    /// Ends all of them.
    pub(crate) fn end(&self) {
        self.end.send_replace(true);
    }

    /// The client's side, if a request asks for another protocol.
    pub(super) fn asked_for(head: &mut Parts, body: &RequestBody) -> Option<Side> {
        // A request with a body cannot be upgraded before its end.
        let asks = head.version == Version::HTTP_11
            && headers::asks_for_a_tunnel(&head.headers)
            && body.is_end_stream();
        let upgrade = asks.then(|| head.extensions.remove()).flatten()?;
        Some(Side { upgrade, place: head.extensions.remove() })
    }

    /// Joins the two sides, if the upstream agrees.
    pub(super) fn join(
        &self,
        client: Side,
        mut response: Response<ResponseBody>,
    ) -> Response<ResponseBody> {
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return finish(Ok(response));
        }
        let Some(upstream) = response.extensions_mut().remove::<OnUpgrade>() else {
            return problem(
                StatusCode::BAD_GATEWAY,
                "upstream_no_response",
                "The upstream changed the protocol in a way that cannot be followed.",
            );
        };
        headers::strip_to_upgrade(response.headers_mut());
        told::remove(response.headers_mut());
        let end = self.end.subscribe();
        let idle = self.idle;
        tokio::spawn(async move {
            let _open = Open::tunnel();
            let Side { upgrade, place: _place } = client;
            if let Ok((client, upstream)) = tokio::try_join!(upgrade, upstream) {
                carry(client, upstream, idle, end).await;
            }
        });
        response.map(|_| ResponseBody::from(Bytes::new()))
    }
}

/// Carries bytes both ways, until both sides have ended, one breaks, or nothing moves.
async fn carry(
    client: Upgraded,
    upstream: Upgraded,
    idle: Duration,
    mut end: watch::Receiver<bool>,
) {
    let (from_client, to_client) = tokio::io::split(TokioIo::new(client));
    let (from_upstream, to_upstream) = tokio::io::split(TokioIo::new(upstream));
    let moved = watch::Sender::new(Instant::now());
    let both = async {
        tokio::try_join!(
            one_way(from_client, to_upstream, &moved),
            one_way(from_upstream, to_client, &moved),
        )
    };
    tokio::select! {
        _ = both => {}
        () = stands_still(&moved, idle) => {}
        // An error means that the sender is gone, and with it the process.
        _ = end.wait_for(|ends| *ends) => {}
    }
}

async fn one_way(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    moved: &watch::Sender<Instant>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..count]).await?;
        // What it was told in pieces is not held back.
        to.flush().await?;
        moved.send_replace(Instant::now());
    }
}

async fn stands_still(moved: &watch::Sender<Instant>, idle: Duration) {
    loop {
        let deadline = *moved.borrow() + idle;
        if deadline <= Instant::now() {
            return;
        }
        tokio::time::sleep_until(deadline).await;
    }
}
