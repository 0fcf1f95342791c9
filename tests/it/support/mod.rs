pub(crate) mod proxy;
#[cfg(feature = "redis")]
pub(crate) mod redis;
