//! The examples as processes, run as their first lines say.

#[cfg(feature = "grpc")]
mod grpc;
mod hyper;
#[cfg(all(feature = "postgres", feature = "conformance"))]
mod orders;
mod reconciler;
#[cfg(all(
    feature = "compression",
    feature = "conformance",
    feature = "metrics",
    feature = "postgres",
    feature = "sqlite"
))]
mod service;
