//! The stores outside of this process. Each module opens its store and serves with it.

#[cfg(feature = "postgres")]
pub(crate) mod postgres;
#[cfg(feature = "redis")]
pub(crate) mod redis;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;

#[cfg(not(all(feature = "postgres", feature = "redis", feature = "sqlite")))]
pub(crate) mod missing;
#[cfg(not(feature = "postgres"))]
pub(crate) use missing as postgres;
#[cfg(not(feature = "redis"))]
pub(crate) use missing as redis;
#[cfg(not(feature = "sqlite"))]
pub(crate) use missing as sqlite;
