//! The stores: each against its server or file, against the conformance suite, and against a model.

#[cfg(feature = "conformance")]
mod conformance;
#[cfg(feature = "conformance")]
mod faulty;
mod fingerprints;
mod memory;
#[cfg(feature = "conformance")]
mod model;
#[cfg(feature = "conformance")]
mod one_connection;
#[cfg(all(feature = "postgres", feature = "conformance"))]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
#[cfg(all(feature = "redis", feature = "postgres", feature = "sqlite", feature = "conformance"))]
mod sql;
#[cfg(all(feature = "sqlite", feature = "conformance"))]
mod sqlite;
