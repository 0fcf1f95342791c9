//! HTTP requests and responses: reading bodies, storing and replaying responses, and rejections.

pub(crate) mod body;
pub(crate) mod class;
#[cfg(feature = "grpc")]
pub mod grpc;
#[cfg(not(feature = "grpc"))]
#[path = "http/grpc/off.rs"]
pub(crate) mod grpc;
pub(crate) mod headers;
pub(crate) mod rejection;
pub(crate) mod response;
#[cfg(feature = "axum")]
pub(crate) mod route;
#[cfg(not(feature = "axum"))]
#[path = "http/route/off.rs"]
pub(crate) mod route;
