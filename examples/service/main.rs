//! A whole service, as an axum user builds it. A payment is an effect in another system, and an
//! order is rows in a database.
//!
//! ```text
//! cargo run --features postgres,sqlite,redis,metrics --example service
//!
//! token='Authorization: Bearer …'    # the program prints one
//! curl -i localhost:3000/v1/payments -H "$token" -H 'X-Idempotency-Key: 1001' \
//!   --json '{"amount":1200,"currency":"EUR"}'
//! curl -i localhost:3000/v1/orders -H "$token" -H 'X-Idempotency-Key: 1001' \
//!   --json '{"item":"book","quantity":2}'
//! ```
//!
//! That needs no server: the records of payments are in memory, and orders with their records are
//! in the file `service.db`. `REDIS_URL` stores the records of payments in Redis. `DATABASE_URL`
//! stores orders in PostgreSQL, where `service migrate` makes the tables. `settings.rs` lists all
//! variables. The service runs on Unix only, because it drains on SIGTERM.

use std::error::Error;
use std::future::IntoFuture;
use std::process::ExitCode;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tower_idempotency::IdempotencyLayer;
use tower_idempotency::store::DynStore;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use app::App;
use auth::Tokens;
use provider::Provider;
use settings::Settings;

mod app;
mod auth;
mod error;
mod orders;
mod payments;
mod provider;
mod settings;
mod stores;

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into());
    tracing_subscriber::fmt()
        .with_env_filter(filter.from_env_lossy())
        .with_writer(std::io::stderr)
        .init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // `main` would print the error by `Debug`.
            eprintln!("error: {}", error::with_causes(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let settings = Settings::from_env()?;
    match std::env::args().nth(1).as_deref() {
        None => serve(&settings).await,
        Some("migrate") => stores::migrate(&settings).await,
        Some(other) => Err(format!("unknown argument {other:?}: only `migrate` is known").into()),
    }
}

async fn serve(settings: &Settings) -> Result<(), Box<dyn Error>> {
    let metrics = metrics_exporter_prometheus::PrometheusBuilder::new().install_recorder()?;
    let tokens = Tokens::new(settings.tokens.as_deref())?;
    let origin = settings.origin.parse().map_err(|error| format!("ORIGIN: {error}"))?;
    let (payments, orders) = (stores::payments(settings)?, stores::orders(settings).await?);
    let guard_payments = guard(&payments, "payments").max_in_flight(256);
    // A conflict between two orders runs the later one again.
    let guard_orders = guard(&orders.store, "orders").max_in_flight(64).retry_conflicts(3);
    check("payments (REDIS_URL)", &guard_payments).await?;
    check("orders (DATABASE_URL)", &guard_orders).await?;
    tokio::spawn(orders.sweep);

    let app = app::router(App {
        payments: payments::routes(Provider::new(settings.provider_latency)),
        orders: orders.routes,
        guards: [guard_payments.clone(), guard_orders.clone()],
        stores: [payments, orders.store],
        handler_timeout: settings.handler_timeout,
        tokens,
        origin,
        metrics,
    });
    let listener = TcpListener::bind(&settings.listen).await;
    let listener = listener.map_err(|error| format!("LISTEN={}: {error}", settings.listen))?;
    println!("listening on http://{}", listener.local_addr()?);
    let drained = async move {
        stop_signal().await;
        // New requests get 503 from here on, and running ones end.
        tokio::join!(guard_payments.shutdown(), guard_orders.shutdown());
    };
    let late = async {
        stop_signal().await;
        tokio::time::sleep(settings.grace).await;
    };
    let server = axum::serve(listener, app).with_graceful_shutdown(drained);
    tokio::select! {
        ended = server.into_future() => ended?,
        () = late => tracing::warn!("requests still run, and are cut off"),
    }
    Ok(())
}

/// What the layers of all routes have in common. Operators find records by route and account.
fn guard(store: &DynStore, namespace: &str) -> IdempotencyLayer<DynStore> {
    IdempotencyLayer::new(store.clone())
        .namespace(namespace)
        .scope(auth::scope)
        .require_key()
        .label_records()
}

/// Tries the store, and logs what is not ready for production.
async fn check(route: &str, layer: &IdempotencyLayer<DynStore>) -> Result<(), String> {
    let checklist = layer.check().await;
    let checklist =
        checklist.map_err(|error| format!("{route}: {}", error::with_causes(&error)))?;
    for item in checklist.open() {
        tracing::warn!("{route}: {item}");
    }
    Ok(())
}

/// Returns when the process should end: at SIGTERM, which orchestrators send, or at Ctrl-C.
async fn stop_signal() {
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        },
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}
