//! A bank over gRPC, on tonic. It makes each transfer once, however often a client sends it.
//!
//! ```text
//! cargo run --example grpc --features grpc                  # the bank; the lines below in another terminal
//!
//! transfer() { cargo run -q --example grpc --features grpc -- "$@"; }
//! transfer order-1001 savings 1200    # transfer-1, 8800 cents left
//! transfer order-1001 savings 1200    # transfer-1, 8800 cents left (replayed)
//! transfer order-1001 rent 1200       # AlreadyExists, IDEMPOTENCY_KEY_REUSED: another transfer, the same key
//! transfer order-1002 nobody 1200     # NotFound: stored, so a retry gets it too
//! transfer order-1003 rent 9900       # FailedPrecondition: too little is left, nothing was done, the key is free
//! transfer order-1003 rent 900        # transfer-2, 7900 cents left
//! ```

use std::error::Error;
use std::sync::{Arc, Mutex};

#[cfg(unix)]
use tokio::signal::unix::{SignalKind, signal};
use tonic::body::Body;
use tonic::service::InterceptorLayer;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response, Status};
use tonic_types::StatusExt;
use tower::ServiceBuilder;
use tower_idempotency::{Attempt, IdempotencyLayer, MemoryStore, RequestBody, Scope};

mod bank;

use bank::{Order, Transfer, Transfers, TransfersServer};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let address = std::env::var("BANK").unwrap_or_else(|_| "127.0.0.1:50051".to_owned());
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [] => serve(&address).await,
        [key, to, cents] => {
            transfer(&address, key, Order { to: to.clone(), cents: cents.parse()? }).await
        }
        _ => Err("usage: grpc [KEY TO CENTS]".into()),
    }
}

async fn serve(address: &str) -> Result<(), Box<dyn Error>> {
    // Each retry of a call without a key would be a new transfer, so such a call is rejected.
    let layer =
        IdempotencyLayer::new(MemoryStore::new()).namespace("bank").scope(scope).require_key();
    let stack = ServiceBuilder::new()
        .layer(InterceptorLayer::new(authenticate))
        // The layer reads the message, and then gives the handler the same bytes. tonic's own body
        // cannot be made from bytes, so it is wrapped. Layers outside of this one see tonic's body.
        .map_request(|request: http::Request<Body>| request.map(RequestBody::new))
        .layer(layer.clone())
        .into_inner();

    let incoming = TcpIncoming::bind(address.parse()?)?;
    println!("listening on http://{}", incoming.local_addr()?);
    let drained = async move {
        stop_signal().await;
        layer.shutdown().await;
    };
    let bank = Bank { ledger: Arc::new(Mutex::new(Ledger { transfers: 0, cents: 10_000 })) };
    let server = Server::builder().layer(stack).add_service(TransfersServer(bank));
    Ok(server.serve_with_incoming_shutdown(incoming, drained).await?)
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

/// The account that makes a call, after its token was verified.
#[derive(Clone, Copy)]
struct Account(u32);

/// The tokens of all accounts. A client that refreshes its token stays the same account.
const TOKENS: [(&str, Account); 3] = [
    ("Bearer token-of-alice", Account(1)),
    ("Bearer new-token-of-alice", Account(1)),
    ("Bearer token-of-bob", Account(2)),
];

/// Rejects a call without the token of an account. It is outside of the layer.
fn authenticate(mut call: Request<()>) -> Result<Request<()>, Status> {
    let credential = call.metadata().get("authorization");
    let account =
        TOKENS.into_iter().find(|(token, _)| credential.is_some_and(|sent| sent == *token));
    let (_, account) =
        account.ok_or_else(|| Status::unauthenticated("no account has this token"))?;
    call.extensions_mut().insert(account);
    Ok(call)
}

/// Two accounts may use the same key, because each has a scope of its own.
fn scope(parts: &http::request::Parts) -> Option<Scope> {
    let Account(id) = parts.extensions.get()?;
    Some(Scope::new(id.to_be_bytes()))
}

#[derive(Clone)]
struct Bank {
    ledger: Arc<Mutex<Ledger>>,
}

struct Ledger {
    transfers: u32,
    cents: u64,
}

impl Transfers for Bank {
    /// Runs once for each key. A retry gets the stored response, and never gets here.
    fn send(&self, order: Request<Order>) -> Result<Response<Transfer>, Status> {
        if let Some(attempt) = order.extensions().get::<Attempt>() {
            tracing::info!(attempt = attempt.number(), "transfer started");
        }
        let Order { to, cents } = order.into_inner();
        if to == "nobody" {
            return Err(Status::not_found("there is no such account"));
        }
        let mut ledger =
            self.ledger.lock().map_err(|_| Status::internal("the ledger is damaged"))?;
        let left = ledger.cents.checked_sub(cents);
        ledger.cents = left.ok_or_else(|| Status::failed_precondition("not that much is left"))?;
        ledger.transfers += 1;
        let id = format!("transfer-{}", ledger.transfers);
        Ok(Response::new(Transfer { id, cents_left: ledger.cents }))
    }
}

/// The client. The key is metadata, and each retry of a transfer must send the same key.
async fn transfer(address: &str, key: &str, order: Order) -> Result<(), Box<dyn Error>> {
    let channel = Endpoint::from_shared(format!("http://{address}"))?.connect_lazy();
    let mut request = Request::new(order);
    request.metadata_mut().insert("x-idempotency-key", key.parse()?);
    request.metadata_mut().insert("authorization", "Bearer token-of-alice".parse()?);

    let response = bank::send(channel, request).await;
    let metadata = response.as_ref().map_or_else(Status::metadata, Response::metadata);
    let how = if metadata.contains_key("x-idempotent-result") { " (replayed)" } else { "" };
    match response {
        Ok(transfer) => {
            let Transfer { id, cents_left } = transfer.into_inner();
            println!("{id}, {cents_left} cents left{how}");
            Ok(())
        }
        Err(status) => {
            // The reason, if the layer rejected the call, and when to send the same call again.
            if let Some(info) = status.get_details_error_info() {
                println!("rejected: {}", info.reason);
            }
            if let Some(delay) = status.get_details_retry_info().and_then(|info| info.retry_delay) {
                println!("retry with the same key in {delay:?}");
            }
            Err(format!("{:?}: {}{how}", status.code(), status.message()).into())
        }
    }
}
