//! Takes each note once, by a `service_fn` on hyper: the layer needs no framework.
//!
//! ```text
//! cargo run --example hyper --no-default-features
//!
//! token='Authorization: Bearer token-of-alice'
//! note() { curl -i localhost:3000/notes -H "$token" -H 'X-Idempotency-Key: note-1001' -d "$1"; }
//! note 'buy milk'    # 201, note 1: buy milk
//! note 'buy milk'    # the same 201, with X-Idempotent-Result: true; no second note
//! note 'buy rice'    # 409 idempotency_key_reused: another note, the same key
//! ```

use std::error::Error;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Either, Empty, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
#[cfg(unix)]
use tokio::signal::unix::{SignalKind, signal};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use tower_idempotency::{IdempotencyLayer, MemoryStore, RequestBody, Scope};

static NOTES: AtomicU32 = AtomicU32::new(0);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let layer =
        IdempotencyLayer::new(MemoryStore::new()).namespace("notes").scope(scope).require_key();
    let guarded = ServiceBuilder::new()
        // The layer reads the body, and then gives the service the same bytes. hyper's own body
        // cannot be made from bytes, so it is wrapped.
        .map_request(|request: Request<Incoming>| request.map(RequestBody::new))
        .layer(layer.clone())
        .service(service_fn(take));
    let service = service_fn(move |request| authenticate(guarded.clone(), request));

    let listen = std::env::var("LISTEN");
    let listener =
        tokio::net::TcpListener::bind(listen.as_deref().unwrap_or("127.0.0.1:3000")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let server = Builder::new(TokioExecutor::new());
    let connections = GracefulShutdown::new();
    let mut end = std::pin::pin!(stop_signal());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut end => break,
        };
        // A client may have gone before it was accepted. The server goes on.
        let Ok((stream, _)) = accepted else { continue };
        let service = TowerToHyperService::new(service.clone());
        let connection = server.serve_connection(TokioIo::new(stream), service).into_owned();
        tokio::spawn(connections.watch(connection));
    }
    // First the layer rejects new requests and waits for the running ones. Then the last responses
    // are sent.
    layer.shutdown().await;
    connections.shutdown().await;
    Ok(())
}

/// Returns when the process should end: at SIGTERM, which orchestrators send, or at Ctrl-C.
async fn stop_signal() {
    #[cfg(unix)]
    if let Ok(mut terminate) = signal(SignalKind::terminate()) {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        return;
    }
    let _ = tokio::signal::ctrl_c().await;
}

/// The account that sends a request, after its token was verified.
#[derive(Clone, Copy)]
struct Account(u32);

/// The tokens of all accounts. A client that refreshes its token stays the same account.
const TOKENS: [(&str, Account); 3] = [
    ("Bearer token-of-alice", Account(1)),
    ("Bearer new-token-of-alice", Account(1)),
    ("Bearer token-of-bob", Account(2)),
];

/// Rejects a request without the token of an account. It is outside of the layer.
async fn authenticate<S, B>(
    guarded: S,
    mut request: Request<Incoming>,
) -> Result<Response<Either<B, Empty<Bytes>>>, S::Error>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
{
    let credential = request.headers().get("authorization");
    let Some((_, account)) =
        TOKENS.into_iter().find(|(token, _)| credential.is_some_and(|sent| sent == *token))
    else {
        let mut rejection = Response::new(Either::Right(Empty::new()));
        *rejection.status_mut() = StatusCode::UNAUTHORIZED;
        return Ok(rejection);
    };
    request.extensions_mut().insert(account);
    Ok(guarded.oneshot(request).await?.map(Either::Left))
}

/// Two accounts may use the same key, because each has a scope of its own.
fn scope(parts: &http::request::Parts) -> Option<Scope> {
    let Account(id) = parts.extensions.get()?;
    Some(Scope::new(id.to_be_bytes()))
}

/// Takes a note, once for each key.
async fn take(
    request: Request<RequestBody<Incoming>>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let note = request.into_body().collect().await?.to_bytes();
    let number = NOTES.fetch_add(1, Ordering::Relaxed) + 1;
    let text = format!("note {number}: {}\n", String::from_utf8_lossy(&note));
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}
