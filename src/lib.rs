//! A Tower [`Layer`](tower_layer::Layer) that makes HTTP operations safe to retry.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod attempt;
mod body;
mod config;
mod digest;
#[cfg(feature = "axum")]
pub mod extract;
mod fingerprint;
mod flow;
mod frame;
mod future;
mod key;
mod layer;
mod outcome;
mod rejection;
mod response;
mod service;
pub mod store;

pub use attempt::Attempt;
pub use body::{RequestBody, ResponseBody};
pub use config::{Class, InFlight, OnAbandoned, OnFailed};
pub use fingerprint::Fingerprint;
pub use frame::Malformed;
pub use future::ResponseFuture;
pub use key::{IdempotencyKey, KeyError, Scope, StorageKey};
pub use layer::IdempotencyLayer;
pub use outcome::{KeptBody, NotRetained, Outcome};
pub use rejection::Rejection;
pub use service::Idempotency;
#[cfg(feature = "redis")]
pub use store::RedisStore;
pub use store::{ErrorKind, MemoryStore, Previous, Status, Store, StoreError};
