//! What the threads of the memory store share. The tests of its interleavings use other types.

pub(super) use std::sync::atomic::{AtomicU64, AtomicUsize};
pub(super) use std::sync::{Mutex, MutexGuard};
pub(super) use tokio::sync::Notify;
pub(super) use tokio::sync::futures::OwnedNotified;
