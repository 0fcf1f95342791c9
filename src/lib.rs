//! A Tower [`Layer`](tower_layer::Layer) that makes HTTP operations safe to retry.
//!
//! A client sends `X-Idempotency-Key` with an operation. The layer fingerprints the request,
//! reserves the key in a [store](store::Store), runs the handler once, stores its response, and replays it to
//! every retry with `X-Idempotent-Result: true`. Another request under the same key gets 409.
//!
//! # Quick start
//!
//! ```
//! use axum::extract::Request;
//! use axum::http::{StatusCode, header::AUTHORIZATION};
//! use axum::middleware::{Next, from_fn};
//! use axum::response::{IntoResponse, Response};
//! use axum::{Router, routing::post};
//! use tower_idempotency::{IdempotencyLayer, MemoryStore, Scope};
//!
//! #[derive(Clone)]
//! struct Account(u64);
//!
//! async fn pay() -> &'static str {
//!     "paid"
//! }
//!
//! /// Verifies the token, and says whose it is. A real service has more than one account.
//! async fn authenticate(mut request: Request, next: Next) -> Response {
//!     if request.headers().get(AUTHORIZATION).is_none_or(|token| token != "Bearer token-of-alice") {
//!         return StatusCode::UNAUTHORIZED.into_response();
//!     }
//!     request.extensions_mut().insert(Account(1));
//!     next.run(request).await
//! }
//!
//! let layer = IdempotencyLayer::new(MemoryStore::new())
//!     .namespace("payments")
//!     .scope(|parts| match parts.extensions.get::<Account>() {
//!         Some(Account(id)) => Scope::new(id.to_be_bytes()),
//!         None => Scope::anonymous(),
//!     });
//! // The layer that is added last is the outermost, so `authenticate` runs first.
//! let app: Router = Router::new()
//!     .route("/payments", post(pay))
//!     .route_layer(layer)
//!     .route_layer(from_fn(authenticate));
//! ```
//!
//! The scope is a verified account, not the credential. A refreshed token would make a retry a new
//! operation, and so a second payment. The credential is also a secret, so only the authentication
//! should read it.
//!
//! # What it guarantees
//!
//! - Of any number of concurrent requests with one key, one runs. The others are rejected, or wait
//!   and get its response.
//! - A response is in the store before the client has it, and a retry gets it byte for byte. If the
//!   store cannot take it at that moment, the client gets its response all the same. The lease is
//!   renewed and the write is retried until it applies, another attempt takes over, or a minute has
//!   passed (or one lease if that is longer). In a full store it is retried until the retention has
//!   passed, or for one lease during a shutdown.
//! - A response is also stored if its record is gone, because it expired or the store was emptied,
//!   while the key is free.
//! - A response that the store rejects, because it is too large or the store is full, is stored at
//!   once without its body. A retry then gets 409 and does not run.
//! - With a full disk (PostgreSQL, SQLite, Redis) no response can be stored. No retry runs while it is
//!   full: each gets 409 or 503. If the process ends before there is space, the operation runs again,
//!   in doubt.
//! - A client that hangs up does not stop the handler, and the response is stored.
//! - What may have happened is never forgotten. [`Attempt::is_in_doubt`] says whether an earlier
//!   attempt under the key may have had an effect, whatever the attempts since have said.
//!   [`Attempt::previous`] says how the last one ended, and the policies [`OnAbandoned`] and
//!   [`OnFailed`] say what follows.
//! - A handler may run for any time, because its lease is renewed. If the lease is lost,
//!   [`Attempt::lease_lost`] tells the handler. The late response is stored only if no other
//!   attempt holds the key. If another attempt has finished, the client gets that response.
//! - A duplicate, a replay or a rejection takes no capacity of the services inside of the layer.
//! - While the store is down nothing runs, unless [`OnOutage`] says otherwise.
//! - In transaction mode (PostgreSQL, SQLite) what the handler writes, the key and the response are
//!   committed together: exactly-once effects. See [`guide::exactly_once`].
//! - [`IdempotencyLayer::execute`] is the same protocol for work that is not an HTTP request: the
//!   message of a queue, a job.
//! - [`IdempotencyLayer::shutdown`] begins nothing new and waits for what runs.
//! - Nothing that a client sends is a raw key of a store, and no key, body or credential is logged.
//!
//! A handler that blocks its thread keeps its lease while another worker is free; on a
//! current-thread runtime it does not. Use
//! [`spawn_blocking`](https://docs.rs/tokio/latest/tokio/task/fn.spawn_blocking.html) for such
//! work.
//!
//! The operation runs in a task of its own from the first time that it waits. The caller's span is
//! in force there, but its task-locals are not. A layer that sets task-locals belongs inside of
//! this one.
//!
//! The lease fences the record, not the world: an attempt that was cut off from its store but still
//! runs may go on having effects. Give the systems that you call [`Attempt::downstream_key`].
//!
//! # Watching it
//!
//! The layer logs through [`tracing`](https://docs.rs/tracing), with the first digits of the digest of a key, and counts
//! with the feature `metrics`. [`IdempotencyLayer::inspect`] tells what stands under one key.
//!
//! | counter | labels |
//! |---|---|
//! | `idempotency_requests_total` | `result`: `executed`, `replayed`, `unguarded`, or the [code](Rejection::code) of a refusal |
//! | `idempotency_attempts_total` | `previous`: `none`, `failed`, `abandoned` |
//! | `idempotency_settled_total` | `operation`: `complete`, `fail`, `release`; `result`: `kept`, `lease_lost`, `repeated` (in the background), `not_committed` |
//! | `idempotency_repeated_total` | `operation` as above; `result`: `kept`, `lease_lost`, `given_up` |
//! | `idempotency_leases_lost_total` | `cause`: `taken` by another attempt, `lapsed` for it could not be renewed |
//! | `idempotency_store_errors_total` | `operation`: also `reserve`, `renew`, `wait_for_change`, `inspect`; `kind`: `unavailable`, `timeout`, `full`, `scope_full`, `configuration`, `corrupt`, `decrypt`, `rejected`, `conflict`, `transaction_lost` |
//!
//! A rising `previous="abandoned"` means processes that die or lose their store. `given_up` and
//! `lease_lost` mean responses that were given and not stored. `rejected` means responses that were
//! stored without their body; in transaction mode they were rolled back, and the client got 503.
//! `full` and `scope_full` mean the same for a store without space, or a scope without a share of it.
//! `configuration` means a permission or a table that an operator must add. In transaction mode it is
//! `transaction_lost` if only the permission to write is missing. The log names the store and the
//! remedy.
//!
//! # Where to look
//!
//! - [`IdempotencyLayer`] has every setting, its default and an example, and the profiles `ietf` and
//!   [`stripe`](IdempotencyLayer::stripe).
//! - [`guide`]: what one operation is, what each status means, what is stored, which store,
//!   exactly-once effects, pools, retention, browsers, threats and a checklist for production.
//! - [`IdempotencyLayer::check`] returns that checklist for a layer: print it at start.
//! - [`store`] has the stores, what each promises, and the page for authors of stores.
//! - [`Rejection`] has every rejection.
//! - `client` (feature `client`): the other half, keys that stay the same until the answer is certain.
//! - [`Attempt`] is what a handler can know, and [`ResponseDirective`] its word on its own response.
//!
//! # Features
//!
//! | feature | default | gives |
//! |---|---|---|
//! | `axum` | yes | [`Attempt`] as an extractor; fingerprints over the path that the client sent when routers are nested |
//! | `redis` | | `RedisStore` |
//! | `postgres` | | `PostgresStore`, and transaction mode on it: `Tx<Postgres>` |
//! | `sqlite` | | `SqliteStore`, and transaction mode on it: `Tx<Sqlite>`; SQLite is compiled in |
//! | `metrics` | | counters through the [`metrics`](https://docs.rs/metrics) facade |
//! | `grpc` | | refusals as gRPC statuses, and answers judged by their `grpc-status`: see [`grpc`] |
//! | `strict-keys` | | keys that must be RFC 9651 Strings; the profile `ietf` |
//! | `canonical` | | `CanonicalBody`: fingerprints over what a JSON, form or multipart body says |
//! | `encryption` | | `EncryptionKeys`: answers encrypted at rest (XChaCha20-Poly1305) |
//! | `compression` | | answers compressed at rest (deflate) |
//! | `repr-digest` | | `StoredResponse::Digest`: a digest in place of a body (RFC 9530) |
//! | `quota` | | `IdempotencyLayer::new_keys_per_minute`: a quota of new keys for each scope |
//! | `client` | | keys on outgoing requests, safe repeats, operations that survive a restart: see `client` |
//! | `client-reqwest` | | the same as a middleware of reqwest-middleware |
//! | `conformance` | | the store contract as runnable checks |
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "client")]
pub mod client;
mod execute;
pub mod fingerprint {
    //! Rules of your own for what one operation is: see [`FingerprintRule`].

    pub use crate::record::fingerprint::{Fields, FingerprintRule, Input, InvalidPointer, Rule};
}
mod flow;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
pub mod guide;
mod handler;
mod http;
mod layer;
pub mod operate;
mod record;
mod runtime;
pub mod service {
    //! The Tower service that the layer makes, and the types that it adds to a signature.

    pub use crate::http::body::ResponseBody;
    pub use crate::layer::future::ResponseFuture;
    pub use crate::layer::service::Idempotency;
}
mod settings;
pub mod store;

pub use crate::execute::{ExecuteError, Executed};
pub use crate::handler::attempt::Attempt;
pub use crate::handler::directive::ResponseDirective;
#[cfg(feature = "axum")]
pub use crate::handler::extract;
pub use crate::http::body::RequestBody;
pub use crate::http::class::ResponseClass;
#[cfg(feature = "grpc")]
pub use crate::http::grpc;
pub use crate::http::rejection::{OnMismatch, Rejection};
pub use crate::http::response::{EXPOSE_HEADERS, StoredResponse};
pub use crate::layer::IdempotencyLayer;
#[cfg(feature = "canonical")]
pub use crate::record::fingerprint::CanonicalBody;
pub use crate::record::fingerprint::{Fingerprint, JsonPointer};
pub use crate::record::key::{IdempotencyKey, KeyError, Scope};
pub use crate::settings::{InFlight, OnAbandoned, OnFailed, OnOutage, QuotaExceeded};
pub use crate::store::PreviousAttempt;
pub use crate::store::memory::MemoryStore;
#[cfg(feature = "encryption")]
pub use crate::store::pack::{EncryptionKeys, RepeatedKeyId};
#[cfg(feature = "postgres")]
pub use crate::store::postgres::{PostgresStore, PostgresTxStore};
#[cfg(feature = "redis")]
pub use crate::store::redis::RedisStore;
#[cfg(feature = "sqlite")]
pub use crate::store::sqlite::{SqliteStore, SqliteTxStore};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use crate::store::tx::Tx;

/// The code in the README runs as a test.
#[cfg(all(doctest, feature = "postgres", feature = "canonical", feature = "encryption", feature = "client"))]
#[doc = include_str!("../README.md")]
struct Readme;
