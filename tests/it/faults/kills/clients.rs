//! Clients that ask until they succeed, and remember every response.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::random::Draw;
use crate::support::sandbox::{SandboxResponse, order_with};

/// A request without a response by then is sent again.
const PATIENCE: Duration = Duration::from_secs(5);
/// A key that has no success by then is stuck.
const STUCK: Duration = Duration::from_mins(1);

pub(super) struct Clients {
    addresses: Vec<SocketAddr>,
    client: Client<HttpConnector, Body>,
    operations: usize,
    seed: Draw,
    next: AtomicUsize,
    done: watch::Sender<usize>,
    /// For each server, how many requests are under way.
    in_flight: watch::Sender<Vec<usize>>,
    told: Mutex<Told>,
}

/// What clients were told.
#[derive(Default, Clone)]
pub(super) struct Told {
    /// The successes for each key, in the order of their coming.
    pub(super) successes: HashMap<String, Vec<SandboxResponse>>,
    /// Requests of operations with one client that were cut off: those that the next response showed
    /// to be rolled back, and to be committed.
    pub(super) rolled_back: usize,
    pub(super) committed: usize,
}

/// What became of one request.
enum Heard {
    Success(SandboxResponse),
    /// It was cut off when it had been sent.
    CutOff,
    Again,
}

pub(super) fn key(number: usize) -> String {
    format!("order-{number}")
}

impl Clients {
    pub(super) fn new(addresses: Vec<SocketAddr>, operations: usize, seed: &Draw) -> Self {
        Self {
            in_flight: watch::Sender::new(vec![0; addresses.len()]),
            addresses,
            client: Client::builder(TokioExecutor::new()).build_http(),
            operations,
            seed: seed.part("operations"),
            next: AtomicUsize::new(0),
            done: watch::Sender::new(0),
            told: Mutex::default(),
        }
    }

    pub(super) fn operations(&self) -> usize {
        self.operations
    }

    pub(super) fn told(&self) -> Told {
        self.told.lock().unwrap().clone()
    }

    pub(super) async fn have_done(&self, operations: usize) {
        self.done.subscribe().wait_for(|done| *done >= operations).await.unwrap();
    }

    pub(super) fn in_flight(&self) -> Vec<usize> {
        self.in_flight.borrow().clone()
    }

    /// Waits until it is so, or all operations are done.
    pub(super) async fn are_in_flight(&self, so: impl Fn(&[usize]) -> bool) {
        let mut in_flight = self.in_flight.subscribe();
        tokio::select! {
            changed = in_flight.wait_for(|in_flight| so(in_flight)) => drop(changed.unwrap()),
            () = self.have_done(self.operations) => {}
        }
    }

    /// Does one operation after another, each until it succeeds, and once more.
    pub(super) async fn pay(self: Arc<Self>) {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.operations {
                return;
            }
            let mut draw = self.seed.part(&key(number));
            let order = order(number, &mut draw);
            let server = draw.index(self.addresses.len());
            if draw.chance(25) {
                let mut other = draw.part("other");
                tokio::join!(
                    self.insist(number, &order, server, &mut draw, false),
                    self.insist(number, &order, server + 1, &mut other, false)
                );
            } else {
                self.insist(number, &order, server, &mut draw, true).await;
            }
            let server = draw.index(self.addresses.len());
            self.insist(number, &order, server, &mut draw, false).await;
            self.done.send_modify(|done| *done += 1);
        }
    }

    /// Asks every server for every response once more.
    pub(super) async fn ask_all_again(&self) {
        for number in 0..self.operations {
            let mut draw = self.seed.part(&key(number));
            let order = order(number, &mut draw);
            for server in 0..self.addresses.len() {
                self.insist(number, &order, server, &mut draw, false).await;
            }
        }
    }

    /// Asks until the response is a success.
    async fn insist(
        &self,
        number: usize,
        order: &Value,
        server: usize,
        draw: &mut Draw,
        is_alone: bool,
    ) {
        let (key, start) = (key(number), Instant::now());
        let mut server = server % self.addresses.len();
        let mut was_cut_off = false;
        let response = loop {
            match self.ask(server, &key, order).await {
                Heard::Success(response) => break response,
                Heard::CutOff => was_cut_off = true,
                Heard::Again => {}
            }
            assert!(start.elapsed() < STUCK, "{key} is stuck");
            tokio::time::sleep(draw.millis(2, 40)).await;
            server = draw.index(self.addresses.len());
        };
        let mut told = self.told.lock().unwrap();
        told.rolled_back += usize::from(is_alone && was_cut_off && !response.is_replay());
        told.committed += usize::from(is_alone && was_cut_off && response.is_replay());
        told.successes.entry(key).or_default().push(response);
    }

    async fn ask(&self, server: usize, key: &str, order: &Value) -> Heard {
        let request = Request::post(format!("http://{}/payments", self.addresses[server]))
            .header("content-type", "application/json")
            .header("x-idempotency-key", key)
            .body(Body::from(order.to_string()))
            .unwrap();
        let exchange = async {
            let (head, body) = self
                .client
                .request(request)
                .await
                .map_err(|error| !error.is_connect())?
                .into_parts();
            let body = body.collect().await.map_err(|_| true)?.to_bytes();
            Ok(SandboxResponse { status: head.status, headers: head.headers, body })
        };
        self.in_flight.send_modify(|in_flight| in_flight[server] += 1);
        let response = tokio::time::timeout(PATIENCE, exchange).await;
        self.in_flight.send_modify(|in_flight| in_flight[server] -= 1);
        match response {
            Ok(Ok(response)) => heard(key, response),
            Ok(Err(was_sent)) if was_sent => Heard::CutOff,
            Ok(Err(_)) | Err(_) => Heard::Again,
        }
    }
}

/// A client that pays through kills may get these responses and no others.
fn heard(key: &str, response: SandboxResponse) -> Heard {
    let code = || response.json()["code"].as_str().map(str::to_owned);
    match response.status.as_u16() {
        201 => Heard::Success(response),
        503 => Heard::Again,
        409 if code().as_deref() == Some("idempotency_key_in_flight") => Heard::Again,
        // The database went away while the handler wrote.
        500 if response.body.is_empty() => Heard::Again,
        status => {
            panic!("{key} got {status}: {}", String::from_utf8_lossy(&response.body))
        }
    }
}

fn order(number: usize, draw: &mut Draw) -> Value {
    // A kill finds some before their effect, and some between the effect and the response.
    let [delay, after] = match draw.index(4) {
        0 => [draw.between(1, 20), 0],
        1 => [0, draw.between(1, 20)],
        _ => [0, 0],
    };
    let mut order = order_with(json!({ "delay_ms": delay, "after_ms": after }));
    if draw.chance(10) {
        // It takes its time from the commit to the client.
        order["sandbox"]["bytes"] = 500_000.into();
    }
    order["amount"] = (number + 1).into();
    order
}
