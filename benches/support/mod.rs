//! The shared parts of the benchmarks: one handler, one request, and a Redis server.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

pub mod process;

#[derive(Deserialize, Serialize)]
struct Payment {
    amount: u64,
    currency: String,
    description: String,
}

async fn pay(Json(payment): Json<Payment>) -> impl IntoResponse {
    (StatusCode::CREATED, [(header::LOCATION, "/payments/4f1c2a90")], Json(payment))
}

/// The bare handler of all comparisons. It reads about 200 bytes of JSON and responds with as many.
pub fn bare() -> Router {
    Router::new().route("/payments", post(pay))
}

pub fn request(key: Option<&str>) -> Request<Body> {
    let description = "d".repeat(150);
    let body = format!(r#"{{"amount":1200,"currency":"EUR","description":"{description}"}}"#);
    let mut request = Request::post("/payments").header(header::CONTENT_TYPE, "application/json");
    if let Some(key) = key {
        request = request.header("x-idempotency-key", key);
    }
    request.body(Body::from(body)).unwrap()
}

/// A Redis server that ends with its guard.
pub struct Redis {
    child: Child,
    pub port: String,
}

impl Redis {
    /// Starts a server with `command` before its name: `taskset` pins it, and an empty command does
    /// not.
    pub fn start(command: &[&str]) -> Self {
        let port =
            TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let words = [command, &["redis-server"]].concat();
        let child = Command::new(words[0])
            .args(&words[1..])
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--dir"])
            .arg(std::env::temp_dir())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed; `scripts/servers` does it");
        while std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_err() {
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { child, port }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
