//! The clients: they send, hang up, ask again, and write down what they were told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tokio::task::JoinSet;

use super::history::{At, Heard, History, Response, Said};
use super::plan::{Operation, Sender};
use crate::support::random::Draw;

/// The sandboxes as clients see them: addresses, behind which a process may or may not be.
pub(super) struct Sandboxes {
    addresses: Mutex<Vec<SocketAddr>>,
    client: Client<HttpConnector, Body>,
}

pub(super) fn now() -> At {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    At::try_from(since.as_millis()).unwrap()
}

impl Sandboxes {
    pub(super) fn new(addresses: Vec<SocketAddr>) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { addresses: Mutex::new(addresses), client }
    }

    pub(super) fn moved(&self, sandbox: usize, address: SocketAddr) {
        self.addresses.lock().unwrap()[sandbox] = address;
    }

    pub(super) fn count(&self) -> usize {
        self.addresses.lock().unwrap().len()
    }

    fn url(&self, sandbox: usize, path: &str) -> String {
        format!("http://{}{path}", self.addresses.lock().unwrap()[sandbox])
    }

    pub(super) async fn is_healthy(&self, sandbox: usize) -> bool {
        let request = Request::get(self.url(sandbox, "/healthz")).body(Body::empty()).unwrap();
        let response =
            tokio::time::timeout(Duration::from_secs(3), self.client.request(request)).await;
        response.is_ok_and(|response| response.is_ok_and(|response| response.status() == 200))
    }

    /// Sends a request, and hangs up if the response is not there in time.
    async fn pay(&self, sandbox: usize, key: &str, order: &str, patience: Duration) -> Heard {
        let begun = now();
        let request = Request::post(self.url(sandbox, "/payments"))
            .header("content-type", "application/json")
            .header("x-idempotency-key", key)
            .body(Body::from(order.to_owned()))
            .unwrap();
        let exchange = async {
            let (head, body) =
                self.client.request(request).await.map_err(|error| error.to_string())?.into_parts();
            let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
            let header =
                |name| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
            Ok(Response {
                status: head.status.as_u16(),
                is_replay: header("x-idempotent-result").as_deref() == Some("true"),
                location: header("location"),
                body,
            })
        };
        let said = match tokio::time::timeout(patience, exchange).await {
            Ok(Ok(response)) => Said::Response(response),
            Ok(Err(error)) => Said::Nothing(error),
            Err(_) => Said::Nothing("the client hung up".into()),
        };
        Heard { begun, ended: now(), sandbox, said }
    }
}

fn is_definitive(heard: &Heard) -> bool {
    matches!(&heard.said, Said::Response(response) if !response.is_for_now())
}

/// How long a client asks again during the schedule. An operation without a response by then is
/// asked for at the end.
const PERSISTENCE: Duration = Duration::from_secs(12);

/// One operation and its senders.
#[derive(Clone)]
pub(super) struct Payment {
    operation: Arc<Operation>,
    order: Arc<str>,
    sandboxes: Arc<Sandboxes>,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Payment {
    pub(super) fn new(operation: Operation, sandboxes: Arc<Sandboxes>) -> Self {
        let order = operation.order.to_string().into();
        Self { operation: Arc::new(operation), order, sandboxes, heard: Arc::default() }
    }

    /// Plays the operation as planned, then sends it again to other sandboxes.
    pub(super) async fn play(self) {
        tokio::time::sleep(self.operation.at).await;
        let mut senders = JoinSet::new();
        for sender in self.operation.senders.clone() {
            let payment = self.clone();
            senders.spawn(async move { payment.insist(sender).await });
        }
        let Some(mut sandbox) = senders.join_all().await.into_iter().flatten().next_back() else {
            return;
        };
        for _ in 0..self.operation.retries {
            sandbox += 1;
            self.ask(sandbox, Duration::from_secs(2)).await;
        }
    }

    /// Asks until there is a definitive response; tells which sandbox gave it.
    async fn insist(&self, sender: Sender) -> Option<usize> {
        tokio::time::sleep(sender.after).await;
        let until = Instant::now() + PERSISTENCE;
        let mut draw = Draw::from_seed(sender.seed);
        let mut sandbox = sender.first_sandbox;
        let mut patience = sender.hang_up.unwrap_or(sender.patience);
        while Instant::now() < until {
            if self.ask(sandbox, patience).await {
                return Some(sandbox);
            }
            tokio::time::sleep(draw.millis(10, 150)).await;
            sandbox = draw.index(self.sandboxes.count());
            patience = sender.patience;
        }
        None
    }

    /// Whether the response is definitive.
    async fn ask(&self, sandbox: usize, patience: Duration) -> bool {
        let sandbox = sandbox % self.sandboxes.count();
        let heard = self.sandboxes.pay(sandbox, &self.operation.key, &self.order, patience).await;
        let is_definitive = is_definitive(&heard);
        self.heard.lock().unwrap().push(heard);
        is_definitive
    }

    /// Long after the last fault: asks every sandbox until it has a definitive response.
    pub(super) async fn conclude(self, lapse: Duration) -> History {
        let until = Instant::now() + lapse + self.operation.takes;
        let mut is_stuck = false;
        for sandbox in 0..self.sandboxes.count() {
            while !is_stuck && !self.ask(sandbox, Duration::from_secs(20)).await {
                is_stuck = Instant::now() > until;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        let heard = std::mem::take(&mut *self.heard.lock().unwrap());
        let Operation { key, order, fails, .. } = &*self.operation;
        History { key: key.clone(), order: order.to_string(), fails: *fails, is_stuck, heard }
    }
}
