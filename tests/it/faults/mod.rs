//! Processes and servers that are killed, stopped or cut off, and clients that hang up.

#[cfg(target_family = "unix")]
mod crash;
mod hang_up;
#[cfg(all(
    feature = "encryption",
    feature = "redis",
    feature = "postgres",
    feature = "sqlite",
    feature = "conformance"
))]
mod incidents;
#[cfg(all(feature = "redis", feature = "postgres", feature = "sqlite", feature = "conformance"))]
mod kills;
#[cfg(all(feature = "redis", feature = "postgres", feature = "sqlite", feature = "conformance"))]
mod operated;
#[cfg(all(feature = "redis", feature = "postgres", feature = "sqlite", feature = "conformance"))]
mod schedules;
