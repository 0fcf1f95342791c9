//! Small payments during retries of a large response, over a link of 119 MiB/s.
//!
//! ```text
//! bodies [RETRIES] [MIB_PER_SECOND]      default: 100 119
//! ```

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_idempotency::{IdempotencyLayer, RedisStore, Scope};

// The tests use the rest of the module.
#[allow(dead_code)]
#[path = "../../tests/it/support/narrow.rs"]
mod narrow;

use narrow::Narrow;

use crate::redis::RedisServer;

const MIB: usize = 1 << 20;
const PAYMENTS: usize = 40;
/// The time between the starts of two payments.
const APART: Duration = Duration::from_millis(15);

pub(crate) async fn run(arguments: &[&str]) {
    let mut figures = arguments.iter().map(|figure| figure.parse::<u32>().expect("a number"));
    let retries = figures.next().unwrap_or(100);
    let rate = figures.next().unwrap_or(119);
    println!(
        "{:42} {:>14} {:>14} {:>14} {:>14}",
        format!("{retries} retries at {rate} MiB/s"),
        "payments 503",
        "slowest ms",
        "retries 503",
        "slowest ms"
    );
    for (name, keys) in
        [("of one response of 1 MiB", 1), ("of as many responses of 1 MiB", retries)]
    {
        let server = RedisServer::start();
        let link = Narrow::carrying(server.port(), f64::from(rate) * 1_048_576.0).await;
        let direct = RedisStore::open(&server.url()).unwrap();
        for key in 0..keys {
            assert_eq!(call(direct.clone(), large(key)).await.0, StatusCode::OK);
        }
        let store = RedisStore::open(&link.url()).unwrap();
        // Connects, and loads the scripts into the server.
        assert_eq!(call(store.clone(), small(u32::MAX)).await.0, StatusCode::CREATED);
        assert_eq!(call(store.clone(), large(0)).await.0, StatusCode::OK);

        let spawn = |request| tokio::spawn(call(store.clone(), request));
        let retries: Vec<_> = (0..retries).map(|number| spawn(large(number % keys))).collect();
        let mut payments = Vec::with_capacity(PAYMENTS);
        for number in 0..PAYMENTS {
            payments.push(spawn(small(u32::try_from(number).unwrap())));
            sleep(APART).await;
        }
        let (payments, retries) = (Account::of(payments).await, Account::of(retries).await);
        println!(
            "{name:42} {:>14} {:>14} {:>14} {:>14}",
            payments.unavailable,
            payments.slowest.as_millis(),
            retries.unavailable,
            retries.slowest.as_millis()
        );
    }
}

struct Account {
    unavailable: usize,
    slowest: Duration,
}

impl Account {
    async fn of(calls: Vec<JoinHandle<(StatusCode, Duration)>>) -> Self {
        let mut account = Self { unavailable: 0, slowest: Duration::ZERO };
        for call in calls {
            let (status, took) = call.await.unwrap();
            account.unavailable += usize::from(status == StatusCode::SERVICE_UNAVAILABLE);
            account.slowest = account.slowest.max(took);
        }
        account
    }
}

fn large(key: u32) -> Request<Body> {
    request("/large", key)
}

fn small(key: u32) -> Request<Body> {
    request("/small", key)
}

fn request(path: &str, key: u32) -> Request<Body> {
    let request = Request::post(path).header("idempotency-key", format!("{path}-{key}"));
    request.body(Body::empty()).unwrap()
}

async fn call(store: RedisStore, request: Request<Body>) -> (StatusCode, Duration) {
    let handler = service_fn(async |request: Request<Body>| {
        let (status, bytes) = if request.uri().path() == "/large" {
            (StatusCode::OK, MIB)
        } else {
            (StatusCode::CREATED, 100)
        };
        let response = Response::builder().status(status).body(Body::from(vec![b'x'; bytes]));
        Ok::<_, Infallible>(response.unwrap())
    });
    let layer = IdempotencyLayer::new(store).scope(|_| Scope::anonymous()).max_response(2 * MIB);
    let start = Instant::now();
    let response = layer.layer(handler).ready().await.unwrap().call(request).await.unwrap();
    let status = response.status();
    response.into_body().collect().await.unwrap();
    (status, start.elapsed())
}
