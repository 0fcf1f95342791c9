//! A client that asks under one key until it has a definitive response.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fastrand::Rng;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use crate::audit::Paid;
use crate::site::{GATEWAYS, Site};

/// Far longer than the lease of 1 s: a key that is rejected for so long is stuck.
const STUCK: Duration = Duration::from_secs(30);

pub(crate) struct Client {
    http: Http<HttpConnector, Full<Bytes>>,
    gateways: Vec<SocketAddr>,
    draw: Rng,
}

/// What a client acts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Definitive {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Client {
    pub(crate) fn new(site: &Site, draw: Rng) -> Self {
        let http = Http::builder(TokioExecutor::new()).build_http();
        let gateways = (0..GATEWAYS).map(|number| site.gateway(number)).collect();
        Self { http, gateways, draw }
    }

    /// Pays, and asks again under the same key until the response is definitive.
    pub(crate) async fn pay(&mut self, key: &str) -> Paid {
        let begun = Instant::now();
        let order = json!({ "delay_ms": self.draw.u64(..15), "after_ms": self.draw.u64(..15) });
        let order = order.to_string();
        let (mut requests, mut last) = (0, String::new());
        loop {
            requests += 1;
            let gateway = self.draw.usize(..GATEWAYS);
            // Now and then a client hangs up, and asks again at once.
            let patience = Duration::from_millis(if self.draw.u64(..50) == 0 { 5 } else { 10_000 });
            let asked = self.send(gateway, key, order.clone());
            match tokio::time::timeout(patience, asked).await {
                Ok(Ok(response)) => {
                    return Paid {
                        key: key.to_owned(),
                        order,
                        response,
                        requests,
                        is_stuck: false,
                    };
                }
                Ok(Err(why)) => last = why,
                Err(_) => {}
            }
            if begun.elapsed() > STUCK {
                let response = Definitive { status: 0, body: last };
                return Paid { key: key.to_owned(), order, response, requests, is_stuck: true };
            }
            let pause = self.draw.u64(10..100);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    /// Asks once more for an operation that has come to its end.
    pub(crate) async fn ask(&mut self, gateway: usize, paid: &Paid) -> Option<Definitive> {
        for _ in 0..100 {
            if let Ok(response) = self.send(gateway, &paid.key, paid.order.clone()).await {
                return Some(response);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        None
    }

    /// `Err`: the response is not definitive, or there is none.
    async fn send(&self, gateway: usize, key: &str, order: String) -> Result<Definitive, String> {
        let request = Request::post(format!("http://{}/payments", self.gateways[gateway]))
            .header("content-type", "application/json")
            .header("x-account", "acct_1")
            .header("x-idempotency-key", key)
            .body(Full::from(order))
            .unwrap();
        let response = self.http.request(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|error| error.to_string())?;
        let body = body.to_bytes();
        let body = String::from_utf8(body.into()).unwrap();
        let is_definitive = match status {
            StatusCode::CREATED => true,
            StatusCode::CONFLICT => {
                let problem: Value = serde_json::from_str(&body).unwrap();
                match problem["code"].as_str().unwrap() {
                    "idempotency_key_in_flight" => false,
                    "idempotency_outcome_unknown" | "idempotency_attempt_failed" => true,
                    other => panic!("{key}: {other}: {body}"),
                }
            }
            StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => false,
            _ => panic!("{key}: {status}: {body}"),
        };
        if !is_definitive {
            return Err(format!("{status} {body}"));
        }
        Ok(Definitive { status: status.as_u16(), body })
    }
}
