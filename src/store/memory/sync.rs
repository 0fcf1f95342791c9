//! What the threads of the memory store share. The exploration of its interleavings has other types in their place.

pub(super) use std::sync::atomic::{AtomicU64, AtomicUsize};
pub(super) use std::sync::{Mutex, MutexGuard};
pub(super) use tokio::sync::Notify;
pub(super) use tokio::sync::futures::OwnedNotified;
