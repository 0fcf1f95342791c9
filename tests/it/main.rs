//! The integration tests, in one binary.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[cfg(feature = "canonical")]
mod canonical;
#[cfg(feature = "client")]
mod client;
#[cfg(all(feature = "redis", feature = "postgres", feature = "sqlite", feature = "conformance"))]
mod clock;
mod contract;
mod cors;
#[cfg(all(feature = "redis", target_family = "unix"))]
mod crash;
mod direction;
#[cfg(all(feature = "redis", feature = "postgres", feature = "sqlite", feature = "conformance"))]
mod earlier_attempts;
#[cfg(all(feature = "redis", feature = "postgres", feature = "sqlite", feature = "conformance"))]
mod execute;
#[cfg(feature = "conformance")]
mod faulty_stores;
#[cfg(feature = "grpc")]
mod grpc;
mod hang_up;
mod http;
mod hyper;
#[cfg(all(feature = "redis", feature = "postgres", feature = "sqlite", feature = "conformance"))]
mod kills;
mod layering;
mod memory;
#[cfg(feature = "conformance")]
mod model;
#[cfg(all(feature = "redis", feature = "postgres", feature = "sqlite", feature = "conformance"))]
mod nested;
#[cfg(feature = "canonical")]
mod one_operation;
#[cfg(all(feature = "redis", feature = "postgres", feature = "conformance"))]
mod orders;
#[cfg(all(feature = "postgres", feature = "conformance"))]
mod postgres;
#[cfg(all(feature = "postgres", feature = "conformance"))]
mod postgres_errors;
#[cfg(all(feature = "postgres", feature = "conformance"))]
mod postgres_faults;
#[cfg(all(feature = "postgres", feature = "conformance"))]
mod postgres_locks;
#[cfg(all(feature = "postgres", feature = "conformance"))]
mod postgres_table;
#[cfg(all(
    feature = "quota",
    feature = "redis",
    feature = "postgres",
    feature = "sqlite",
    feature = "conformance"
))]
mod quota;
#[cfg(all(feature = "redis", feature = "conformance"))]
mod redis;
#[cfg(all(feature = "redis", feature = "conformance"))]
mod redis_bodies;
#[cfg(all(feature = "redis", feature = "conformance"))]
mod redis_cluster;
#[cfg(all(feature = "redis", feature = "conformance"))]
mod redis_connection;
#[cfg(feature = "redis")]
mod redis_demoted;
#[cfg(all(feature = "redis", feature = "conformance"))]
mod redis_eviction;
#[cfg(all(feature = "redis", feature = "conformance"))]
mod redis_full;
#[cfg(feature = "redis")]
mod redis_gone;
#[cfg(all(feature = "redis", feature = "conformance"))]
mod redis_no_writes;
#[cfg(all(feature = "redis", feature = "conformance"))]
mod redis_patience;
#[cfg(feature = "redis")]
mod redis_rejected;
#[cfg(all(feature = "redis", feature = "conformance"))]
mod redis_sentinel;
#[cfg(feature = "redis")]
mod redis_unanswered;
mod rejections;
#[cfg(feature = "redis")]
mod sandbox;
#[cfg(all(feature = "redis", feature = "postgres", feature = "sqlite", feature = "conformance"))]
mod schedules;
#[cfg(all(
    feature = "encryption",
    feature = "compression",
    feature = "redis",
    feature = "postgres",
    feature = "sqlite",
    feature = "conformance"
))]
mod secrecy;
mod settings;
mod shares;
#[cfg(all(feature = "redis", feature = "postgres", feature = "sqlite", feature = "conformance"))]
mod sql;
#[cfg(all(feature = "sqlite", feature = "conformance"))]
mod sqlite;
mod statuses;
#[cfg(feature = "conformance")]
mod stores;
mod support;
#[cfg(feature = "metrics")]
mod telemetry;
#[cfg(all(feature = "redis", feature = "postgres", feature = "sqlite", feature = "conformance"))]
mod transaction;
#[cfg(feature = "redis")]
mod waiters;
