//! One connection that stays open, and the responses on it.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A connection that is made when it is needed.
pub(crate) struct Client {
    address: SocketAddr,
    patience: Duration,
    connection: Option<SendRequest<Full<Bytes>>>,
}

/// A `POST /payments`.
#[derive(Clone)]
pub(crate) struct Payment {
    pub(crate) token: Option<&'static str>,
    pub(crate) key: String,
    pub(crate) content_type: &'static str,
    pub(crate) body: Bytes,
}

/// A status with the code of a rejection, or why there is none: `201`, `409
/// idempotency_key_reused`, `no response`.
pub(crate) type Reply = String;

pub(crate) const SERVED: &str = "201";
pub(crate) const IN_FLIGHT: &str = "409 idempotency_key_in_flight";

/// An order whose response has a padding of this many bytes.
pub(crate) fn order(bytes: usize) -> Bytes {
    let order = serde_json::json!({
        "amount": 1200, "currency": "EUR", "to": "acct_2", "sandbox": { "bytes": bytes }
    });
    order.to_string().into()
}

impl Payment {
    pub(crate) fn json(token: Option<&'static str>, key: String, body: Bytes) -> Self {
        Self { token, key, content_type: "application/json", body }
    }

    fn request(self, address: SocketAddr) -> Request<Full<Bytes>> {
        let mut request = Request::post("/payments")
            .header("host", address.to_string())
            .header("content-type", self.content_type)
            .header("x-idempotency-key", self.key);
        if let Some(token) = self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        request.body(Full::new(self.body)).unwrap()
    }
}

impl Client {
    pub(crate) fn to(address: SocketAddr) -> Self {
        Self { address, patience: Duration::from_secs(10), connection: None }
    }

    /// Sets the longest wait for a response.
    pub(crate) fn patient(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    pub(crate) async fn pay(&mut self, payment: Payment) -> Reply {
        let request = payment.request(self.address);
        match timeout(self.patience, self.send(request)).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) => self.broken("broken connection"),
            Err(_) => self.broken("no response"),
        }
    }

    fn broken(&mut self, how: &str) -> Reply {
        self.connection = None;
        how.to_owned()
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Reply, Failure> {
        let sender = match &mut self.connection {
            Some(sender) if !sender.is_closed() => sender,
            closed => closed.insert(connect(self.address).await?),
        };
        sender.ready().await?;
        let (head, body) = sender.send_request(request).await?.into_parts();
        read(&Response::from_parts(head, ()), body).await
    }
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>, Failure> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn read(head: &Response<()>, body: Incoming) -> Result<Reply, Failure> {
    let status = head.status().as_u16();
    let is_problem =
        head.headers().get("content-type").is_some_and(|found| found == "application/problem+json");
    let body = body.collect().await?.to_bytes();
    if !is_problem {
        return Ok(status.to_string());
    }
    let problem: serde_json::Value = serde_json::from_slice(&body)?;
    Ok(format!("{status} {}", problem["code"].as_str().unwrap_or_default()))
}
