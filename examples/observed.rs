//! A service that can be watched: metrics for Prometheus, with the alerts and the dashboard of the
//! folder `ops`, and an audit log.
//!
//! ```text
//! cargo run --features metrics,redis --example observed
//! curl -i localhost:3000/payments -H 'X-Idempotency-Key: order-1001' --json '{"amount":1200}'
//! curl localhost:3000/metrics
//! ```
//!
//! Its records are in memory, or in the Redis of `REDIS_URL`. `LISTEN` is where it listens, and
//! `LEASE` the lease in seconds. With `FAIL_OPEN=1` requests run without a record while the store is
//! down.

use std::env;
use std::error::Error;
use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::sleep;
use tower_idempotency::operate::Notice;
use tower_idempotency::store::DynStore;
use tower_idempotency::{Attempt, IdempotencyLayer, InFlight, MemoryStore, OnOutage, RedisStore};

/// The bounds of the buckets of all histograms, in seconds: a store in this process replies within
/// a millisecond, and a handler may take a minute.
const BUCKETS: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 60.0];

/// How often the records of the store are counted. An alert about them comes later by this.
const REPORT: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    // Without buckets the exporter writes summaries, which cannot be added up over processes.
    let metrics = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Prefix("idempotency_".into()), &BUCKETS)?
        .install_recorder()?;

    let layer = layer()?;
    let reports = layer.operator("metrics")?.report_every(REPORT);
    tokio::spawn(reports);
    let app = Router::new()
        .route("/payments", post(pay))
        .route_layer(layer)
        .route("/metrics", get(async move || metrics.render()));

    let listen = env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:3000".into());
    let listener =
        TcpListener::bind(&listen).await.map_err(|error| format!("{listen}: {error}"))?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

fn layer() -> Result<IdempotencyLayer<DynStore>, Box<dyn Error>> {
    let store = match env::var("REDIS_URL") {
        Ok(url) => DynStore::new(RedisStore::open(&url)?),
        Err(_) => DynStore::new(MemoryStore::new()),
    };
    // The metrics, too, then say which namespace and route they are about.
    let mut layer =
        IdempotencyLayer::new(store).namespace("payments").require_key().label_records();
    // A retry waits for the first request, and the time shows.
    layer = layer.in_flight(InFlight::Wait(Duration::from_secs(1)));
    if let Ok(lease) = env::var("LEASE") {
        layer = layer.lease(Duration::from_secs(lease.parse()?));
    }
    if env::var_os("FAIL_OPEN").is_some() {
        layer = layer.on_outage(OnOutage::FailOpenRiskingDoubleEffects);
    }
    // The audit log of this process.
    Ok(layer.on_event(|notice| async move {
        match notice {
            Notice::Event(event) => tracing::info!("{event}"),
            Notice::Lost(events) => tracing::warn!("{events} events were lost"),
            _ => {}
        }
    }))
}

/// A payment that takes `delay_ms`, and ends with the status `status`, 201 by default.
async fn pay(attempt: Attempt, Json(payment): Json<Value>) -> impl IntoResponse {
    sleep(Duration::from_millis(payment["delay_ms"].as_u64().unwrap_or_default())).await;
    let status = payment["status"].as_u64().and_then(|status| u16::try_from(status).ok());
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    let paid = json!({ "amount": payment["amount"], "attempt": attempt.number() });
    (status.unwrap_or(StatusCode::CREATED), [(header::LOCATION, "/payments/1")], Json(paid))
}
