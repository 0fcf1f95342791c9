//! The server for a store and a ledger: it listens, guards, and drains.

use std::io::{self, Write as _};
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
use tower_idempotency::store::Store;
use tower_idempotency::{CanonicalBody, EncryptionKeys, IdempotencyLayer, JsonPointer, Scope};

use crate::args::{Args, Profile};
use crate::ledger::Ledger;
use crate::problem::Problem;
use crate::{openapi, page, payments};

pub(crate) async fn serve<S: Store + Clone>(
    store: S,
    ledger: impl Ledger,
    args: &Args,
) -> Result<(), Problem> {
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|error| Problem::failed(format!("cannot listen on {}", args.listen), &error))?;
    let address = listener.local_addr()?;
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let guard = layer(store.clone(), args);
    let app = app(store, guard.clone(), ledger, args)?;
    let drained = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        // The server still accepts connections meanwhile, and rejects new requests with 503.
        guard.shutdown().await;
    };

    let mut stdout = io::stdout();
    writeln!(stdout, "listening on http://{address}")?;
    stdout.flush()?;
    let listener = listener.tap_io(|connection| {
        // A response must not wait for more data to send with it.
        let _ = connection.set_nodelay(true);
    });
    axum::serve(listener, app).with_graceful_shutdown(drained).await?;
    Ok(())
}

fn app<S: Store + Clone>(
    store: S,
    guard: IdempotencyLayer<S>,
    ledger: impl Ledger,
    args: &Args,
) -> Result<Router, Problem> {
    let bound = args.store_timeout;
    let document = openapi::routes(&guard)?;
    let app = payments::routes()
        // Only existing routes are guarded, so the 404 of an unknown path is not stored.
        .route_layer(guard)
        .route("/healthz", get(move || health(store.clone(), bound)))
        .merge(page::routes(args))
        .merge(document)
        // Both limits must be equal, because the smaller one would hide the other.
        .layer(DefaultBodyLimit::max(args.max_request))
        .layer(CatchPanicLayer::new())
        .with_state(Arc::new(ledger));
    Ok(app)
}

fn layer<S: Store>(store: S, args: &Args) -> IdempotencyLayer<S> {
    let layer = IdempotencyLayer::new(store);
    let layer = match args.profile {
        Profile::Default => layer,
        Profile::Ietf => layer.ietf(),
        Profile::Stripe => layer.stripe(),
    };
    let mut layer = layer
        .namespace("sandbox")
        // A load generator without a token is one caller and not many strangers. `Scope::anonymous`
        // would give it a hundredth of the memory store, for ten minutes.
        .scope(|parts| Scope::new(payments::bearer(&parts.headers).unwrap_or("anonymous")))
        .lease(args.lease)
        .retention(args.retention)
        .store_timeout(args.store_timeout)
        .in_flight(args.in_flight)
        .on_abandoned(args.on_abandoned)
        .on_outage(args.on_outage)
        .max_request(args.max_request)
        .max_response(args.max_response)
        .stored_response(args.stored_response);
    if let Some(policy) = args.on_failed {
        layer = layer.on_failed(policy);
    }
    if let Some(key) = args.encryption_key {
        layer = layer.encrypt(EncryptionKeys::new(1, key));
    }
    if args.canonical_json {
        let ignoring = |rule: CanonicalBody, pointer: &JsonPointer| rule.ignore(pointer.clone());
        layer = layer.fingerprint(args.ignore.iter().fold(CanonicalBody::json(), ignoring));
    }
    if args.require_key { layer.require_key() } else { layer }
}

async fn health<S: Store>(store: S, bound: Duration) -> (StatusCode, String) {
    match tokio::time::timeout(bound, store.ping()).await {
        Ok(Ok(())) => (StatusCode::OK, "ok\n".into()),
        Ok(Err(error)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the store did not respond in time\n".into()),
    }
}
