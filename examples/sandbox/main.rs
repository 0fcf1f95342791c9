//! A payments server with knobs, to try every behaviour of the layer against: by hand, from tests, under load.
//!
//! `cargo run --release --all-features --example sandbox -- --help` lists the flags. It runs on Unix, for it drains
//! on SIGTERM.

use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::get;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tower_http::catch_panic::CatchPanicLayer;
use tower_idempotency::{IdempotencyLayer, MemoryStore, Scope, Store};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use args::{Args, Command, StoreChoice, USAGE};
use ledger::Ledger;

mod args;
mod ledger;
mod payments;

#[tokio::main]
async fn main() -> ExitCode {
    let args = match Command::parse(std::env::args_os().skip(1)) {
        Ok(Command::Serve(args)) => args,
        Ok(Command::Help) => {
            let _ = writeln!(io::stdout(), "{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(problem) => return misused(&problem),
    };
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::WARN.into()).from_env_lossy();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();

    let served = match &args.store {
        StoreChoice::Memory => serve(MemoryStore::new(), &args).await,
        StoreChoice::Redis(url) => match open_redis(url) {
            Ok(store) => serve(store, &args).await,
            Err(problem) => return misused(&format!("--store {}: {problem}", args::shown(url))),
        },
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn misused(problem: &str) -> ExitCode {
    // Whoever closed the pipe early still gets the right exit code.
    let _ = writeln!(io::stderr(), "error: {problem}\n\n{USAGE}");
    ExitCode::from(2)
}

#[cfg(feature = "redis")]
fn open_redis(url: &str) -> Result<tower_idempotency::RedisStore, Box<dyn Error>> {
    // The source says what is wrong with the URL.
    tower_idempotency::RedisStore::open(url)
        .map_err(|error| error.source().map_or_else(|| error.to_string(), ToString::to_string).into())
}

#[cfg(not(feature = "redis"))]
fn open_redis(_: &str) -> Result<MemoryStore, Box<dyn Error>> {
    Err("this example was built without it: add `--features redis`".into())
}

async fn serve<S: Store + Clone>(store: S, args: &Args) -> Result<(), Box<dyn Error>> {
    let ledger = Ledger::open(args.ledger.as_deref())
        .map_err(|error| format!("the ledger cannot be opened: {error}"))?;
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;
    let address = listener.local_addr()?;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let guard = layer(store.clone(), args);
    let app = app(store, guard.clone(), ledger, args);
    let drained = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        // The door stays open meanwhile: whoever knocks is told to come again, by a 503.
        guard.shutdown().await;
    };

    let mut stdout = io::stdout();
    writeln!(stdout, "listening on http://{address}")?;
    stdout.flush()?;
    let listener = listener.tap_io(|connection| {
        // An answer must not wait for more to send along with it.
        let _ = connection.set_nodelay(true);
    });
    axum::serve(listener, app).with_graceful_shutdown(drained).await?;
    Ok(())
}

fn app<S: Store + Clone>(store: S, guard: IdempotencyLayer<S>, ledger: Ledger, args: &Args) -> Router {
    let bound = args.store_timeout;
    payments::routes()
        // Routes only: a request to nowhere leaves no record of its 404.
        .route_layer(guard)
        .route("/healthz", get(move || health(store.clone(), bound)))
        // Both limits are one, or the smaller would hide the other.
        .layer(DefaultBodyLimit::max(args.max_request))
        .layer(CatchPanicLayer::new())
        .with_state(Arc::new(ledger))
}

fn layer<S: Store>(store: S, args: &Args) -> IdempotencyLayer<S> {
    let layer = IdempotencyLayer::new(store)
        .namespace("sandbox")
        .scope(|parts| payments::bearer(&parts.headers).map_or_else(Scope::anonymous, Scope::new))
        .lease(args.lease)
        .retention(args.retention)
        .store_timeout(args.store_timeout)
        .in_flight(args.in_flight)
        .on_failed(args.on_failed)
        .on_abandoned(args.on_abandoned)
        .on_outage(args.on_outage)
        .max_request(args.max_request)
        .max_response(args.max_response);
    if args.require_key { layer.require_key() } else { layer }
}

async fn health<S: Store>(store: S, bound: Duration) -> (StatusCode, String) {
    match tokio::time::timeout(bound, store.ping()).await {
        Ok(Ok(())) => (StatusCode::OK, "ok\n".into()),
        Ok(Err(error)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the store did not answer in time\n".into()),
    }
}
