//! The Redis store against real servers: one alone, a group under Sentinel, a cluster.

#[cfg(feature = "conformance")]
mod bodies;
#[cfg(feature = "conformance")]
mod cluster;
#[cfg(feature = "conformance")]
mod connection;
#[cfg(feature = "conformance")]
mod contract;
mod demoted;
#[cfg(feature = "conformance")]
mod eviction;
#[cfg(feature = "conformance")]
mod full;
mod gone;
mod in_flight;
mod lost_replies;
#[cfg(feature = "conformance")]
mod no_writes;
#[cfg(feature = "conformance")]
mod operators;
#[cfg(feature = "conformance")]
mod patience;
mod rejected;
#[cfg(feature = "conformance")]
mod sentinel;
#[cfg(feature = "conformance")]
mod set_up_wrongly;
#[cfg(all(feature = "conformance", feature = "redis-tls-rustls"))]
mod tls;
mod waiters;
