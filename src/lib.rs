//! A Tower [`Layer`](tower_layer::Layer) that makes HTTP operations safe to retry.
//!
//! A client sends `X-Idempotency-Key` with an operation. The layer fingerprints the request,
//! reserves the key in a [store](store::Store), runs the handler once, stores its response, and
//! replays it to every retry with `X-Idempotent-Result: true`. Another request under the same key
//! gets 409.
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
//!     // A request without an account gets 401.
//!     .scope(|parts| {
//!         let Account(id) = parts.extensions.get()?;
//!         Some(Scope::new(id.to_be_bytes()))
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
//! - A retry of a finished request gets the stored response, byte for byte.
//! - A client that hangs up does not stop the handler, and the response is stored.
//! - A handler may run for any time, because its lease is renewed. If the lease is lost,
//!   [`Attempt::lease_lost`] tells the handler.
//! - [`Attempt::is_in_doubt`] says whether an earlier attempt may have had an effect, whatever the
//!   attempts since have said.
//! - In transaction mode (PostgreSQL, SQLite) the handler's rows, the key and the response are
//!   committed together: exactly-once effects.
//!
//! The guide [`guarantees`](guide::guarantees) has the whole table, by store, and what is not
//! guaranteed. [`failures`](guide::failures) says what happens when something breaks, and
//! [`layers`](guide::layers) where the layer belongs among others.
//!
//! # Watching it
//!
//! The layer logs through [`tracing`](https://docs.rs/tracing), with the first digits of the digest
//! of a key. With the feature `metrics` it counts and measures. [`IdempotencyLayer::inspect`] shows
//! the record of one key.
//!
//! Each guarded request has one span at the level `debug`, and ends with one event. The guide
//! [`operations`](guide::operations#watching-it) lists its fields, the metrics, and what
//! [`on_event`](IdempotencyLayer::on_event) tells an audit log.
//!
//! `idempotency_store_errors_total` has these values of `kind`: `unavailable`, `timeout`, `full`,
//! `scope_full`, `configuration`, `corrupt`, `decrypt`, `rejected`, `conflict`, `transaction_lost`,
//! `unsupported`.
//!
//! A rising `previous="abandoned"` means processes that die or lose their store. `given_up` and
//! `lease_lost` mean responses that were given and not stored. `rejected` means responses that were
//! stored without their body; in transaction mode they were rolled back, and the client got 503.
//! `full` and `scope_full` mean the same for a store without space, or a scope without a share of
//! it. `configuration` means a permission or a table that an operator must add. In transaction mode
//! it is `transaction_lost` if only the permission to write is missing. The log names the store and
//! the remedy.
//!
//! # Where to look
//!
//! - [`IdempotencyLayer`] has every setting, its default and an example, and the profiles `ietf`
//!   and [`stripe`](IdempotencyLayer::stripe).
//! - [`guide`] has a page for each question: which store, where the layer belongs, what a response
//!   means, how to test, what to do with a stuck key, and more.
//! - [`IdempotencyLayer::check`] returns a checklist for production: print it at start.
//! - [`store`] has the stores, what each promises, and the page for authors of stores.
//! - [`Rejection`] has every rejection.
//! - `client` (feature `client`): the other half, keys that stay the same until the
//!   outcome is certain.
//! - [`Attempt`] is what a handler can know. With [`ResponseDirective`] it overrides what its own
//!   response means.
//!
//! # Versions
//!
//! These crates have types in the public API: `axum_core` 0.5 (axum 0.8), `bytes` 1, `http` 1,
//! `http_body` 1, `tower_layer` 0.3, `tower_service` 0.3, `serde_core` 1 and `serde_json` 1; with
//! their features also `redis` 1, `sqlx_core`, `sqlx_postgres` and `sqlx_sqlite` 0.9 (sqlx 0.9),
//! `axum` 0.8, `tower` 0.5, `reqwest` 0.13 and `reqwest_middleware` 0.5. A new incompatible version
//! of one of them is a new incompatible version of this crate. The oldest supported Rust is 1.95. A
//! newer minimum is a minor release.
//!
//! # Features
//!
//! | feature | default | gives |
//! |---|---|---|
//! | `axum` | yes | [`Attempt`] as an extractor; fingerprints over the path that the client sent when routers are nested |
//! | `admin` | | routes for operators, as JSON and on one page: see [`admin`] |
//! | `redis` | | `RedisStore` |
//! | `redis-tls-rustls` | | TLS to Redis (`rediss://`) by rustls, with the authorities that the operating system trusts |
//! | `redis-tls-rustls-webpki-roots` | | the same, with Mozilla's list of authorities |
//! | `postgres` | | `PostgresStore`, and transaction mode on it: `Tx<Postgres>` |
//! | `postgres-tls-rustls` | | TLS to PostgreSQL by rustls, with Mozilla's list of authorities |
//! | `postgres-tls-rustls-native-roots` | | the same, with the authorities that the operating system trusts |
//! | `sqlite` | | `SqliteStore`, and transaction mode on it: `Tx<Sqlite>`; SQLite is compiled in |
//! | `metrics` | | counters, histograms and gauges through the [`metrics`](https://docs.rs/metrics) facade |
//! | `grpc` | | rejections as gRPC statuses, and responses judged by their `grpc-status`: see [`grpc`] |
//! | `strict-keys` | | keys that must be RFC 9651 Strings; the profile `ietf` |
//! | `canonical` | | `CanonicalBody`: fingerprints over what a JSON, form or multipart body says |
//! | `encryption` | | `EncryptionKeys`: responses encrypted at rest (XChaCha20-Poly1305) |
//! | `compression` | | responses compressed at rest (deflate) |
//! | `repr-digest` | | `StoredResponse::Digest`: a digest in place of a body (RFC 9530) |
//! | `quota` | | `IdempotencyLayer::new_keys_per_minute`: a quota of new keys for each scope |
//! | `openapi` | | [`IdempotencyLayer::openapi`]: the layer's part of an OpenAPI document: see [`openapi`] |
//! | `client` | | keys on outgoing requests, safe retries, operations that survive a restart: see `client` |
//! | `client-reqwest` | | the same as a middleware of reqwest-middleware |
//! | `serde` | | `Settings`: the settings of a layer from a file or the environment |
//! | `testing` | | assertions for your own tests: `testing::replays`, `testing::one_effect` |
//! | `conformance` | | the store contract as runnable checks |
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

#[cfg(feature = "admin")]
pub mod admin;
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
#[cfg(feature = "openapi")]
pub mod openapi;
pub mod operate;
mod record;
mod runtime;
pub mod service {
    //! The Tower service that the layer makes, and the types that it adds to a signature.

    pub use crate::http::body::ResponseBody;
    pub use crate::layer::future::ResponseFuture;
    pub use crate::layer::service::Idempotency;
    pub use crate::record::key::IntoScope;
}
mod settings;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;

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
#[cfg(feature = "serde")]
pub use crate::settings::Settings;
pub use crate::settings::{InFlight, OnAbandoned, OnFailed, OnOutage, QuotaExceeded};
pub use crate::store::lease::PreviousAttempt;
pub use crate::store::memory::MemoryStore;
#[cfg(feature = "encryption")]
pub use crate::store::pack::{EncryptionKeys, RepeatedKeyId};
#[cfg(feature = "postgres")]
pub use crate::store::postgres::{PostgresStore, PostgresTxStore};
#[cfg(feature = "redis")]
pub use crate::store::redis::RedisStore;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use crate::store::sql::tx::Tx;
#[cfg(feature = "sqlite")]
pub use crate::store::sqlite::{SqliteStore, SqliteTxStore};

/// The code in the README runs as a test.
#[cfg(all(doctest, unix, feature = "redis", feature = "postgres"))]
#[doc = include_str!("../README.md")]
struct Readme;
