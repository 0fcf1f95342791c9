#[cfg(feature = "redis")]
pub(crate) mod redis;
