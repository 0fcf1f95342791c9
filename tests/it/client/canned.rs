//! A service that does what its script says, turn by turn, and notes what it is asked. It is called
//! directly, or put behind a socket.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body_util::{BodyExt, Either, Full};
use tokio::sync::watch;
use tokio::time::Instant;
use tower::Service;

use crate::support::{Frames, Server, patiently};

/// The body of a response.
pub(super) type Played = Either<Full<Bytes>, Frames>;

/// The result of one request.
#[derive(Debug, Clone)]
pub(super) enum Turn {
    Response(u16, Vec<(String, String)>, Bytes),
    /// The connection is cut.
    Fail,
    /// The response begins like that of an operation that was done, and breaks off.
    Cut,
    /// Nothing comes.
    Hang,
    /// The same, but later.
    After(Duration, Box<Turn>),
}

impl Turn {
    pub(super) fn status(status: u16) -> Self {
        Self::response(status, &[], "")
    }

    pub(super) fn response(status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        Self::Response(status, headers.collect(), Bytes::copy_from_slice(body.as_bytes()))
    }

    /// The response of an operation that was done.
    pub(super) fn done() -> Self {
        Self::response(201, &[], "done")
    }

    pub(super) fn after(self, wait: Duration) -> Self {
        Self::After(wait, Box::new(self))
    }
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) head: Parts,
    pub(super) body: Bytes,
    pub(super) at: Instant,
}

impl Asked {
    /// Every header that is, or could be, a key.
    pub(super) fn keys(&self) -> Vec<(&str, &str)> {
        let headers = self.head.headers.iter().filter(|(name, _)| name.as_str().contains("key"));
        headers.map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect()
    }

    /// The one key, in the header that is the default.
    #[track_caller]
    pub(super) fn key(&self) -> &str {
        let keys = self.keys();
        assert!(matches!(keys[..], [("x-idempotency-key", _)]), "{keys:?}");
        keys[0].1
    }
}

/// After the last turn of its script it responds as if the operation were done.
#[derive(Clone)]
pub(super) struct Canned(Arc<watch::Sender<Script>>);

struct Script {
    turns: VecDeque<Turn>,
    ever: Turn,
    asked: Vec<Asked>,
    ended: usize,
}

impl Canned {
    pub(super) fn turns(turns: impl IntoIterator<Item = Turn>) -> Self {
        Self::script(turns.into_iter().collect(), Turn::done())
    }

    /// Does the same each time.
    pub(super) fn ever(turn: Turn) -> Self {
        Self::script(VecDeque::new(), turn)
    }

    fn script(turns: VecDeque<Turn>, ever: Turn) -> Self {
        Self(Arc::new(watch::Sender::new(Script { turns, ever, asked: Vec::new(), ended: 0 })))
    }

    /// The requests so far.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.0.borrow().asked.clone()
    }

    pub(super) fn count(&self) -> usize {
        self.0.borrow().asked.len()
    }

    /// Waits until it was asked so often.
    pub(super) async fn reached(&self, count: usize) {
        let mut script = self.0.subscribe();
        patiently(script.wait_for(|script| script.asked.len() >= count))
            .await
            .expect("self holds the sender");
    }

    /// How many of its futures are gone, whether they came to their end or not.
    pub(super) fn ended(&self) -> usize {
        self.0.borrow().ended
    }

    /// The times between one request and the next.
    pub(super) fn waits(&self) -> Vec<Duration> {
        self.asked().windows(2).map(|pair| pair[1].at - pair[0].at).collect()
    }

    /// Puts it behind a socket, and gives the address of an operation there.
    pub(super) async fn serve(&self) -> (Server, String) {
        let server = Server::start(self.clone()).await;
        let uri = format!("http://{}/orders?by=card", server.address());
        (server, uri)
    }

    fn next(&self, asked: Asked) -> Turn {
        let mut turn = Turn::Hang;
        self.0.send_modify(|script| {
            script.asked.push(asked);
            turn = script.turns.pop_front().unwrap_or_else(|| script.ever.clone());
        });
        turn
    }
}

/// Tells when the future that holds it is gone.
struct Ends(Canned);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.0.send_modify(|script| script.ended += 1);
    }
}

impl<B> Service<Request<B>> for Canned
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: std::fmt::Debug + Send,
{
    type Response = Response<Played>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let canned = self.clone();
        let ends = Ends(self.clone());
        Box::pin(async move {
            let _ends = ends;
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let mut turn = canned.next(Asked { head, body, at: Instant::now() });
            loop {
                match turn {
                    Turn::Response(status, headers, body) => {
                        let mut response = Response::builder().status(status);
                        for (name, value) in headers {
                            response = response.header(name, value);
                        }
                        return Ok(response.body(Either::Left(Full::new(body))).unwrap());
                    }
                    Turn::Fail => return Err(io::Error::other("the script says so")),
                    Turn::Cut => {
                        let body = Frames::known(&[b"do"]).announcing(4).broken();
                        return Ok(Response::builder()
                            .status(201)
                            .body(Either::Right(body))
                            .unwrap());
                    }
                    Turn::Hang => match pending::<Infallible>().await {},
                    Turn::After(wait, then) => {
                        tokio::time::sleep(wait).await;
                        turn = *then;
                    }
                }
            }
        })
    }
}
