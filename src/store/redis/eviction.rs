//! Whether the server may evict records.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis::ErrorKind;
use tokio::time::timeout;

use super::commands::{Commands, last};
use super::link::Link;
use crate::runtime::lock::lock;

/// Looks once at each server, and warns once for all of them.
#[derive(Default)]
pub(super) struct Eviction {
    seen: Mutex<HashSet<String>>,
    warned: AtomicBool,
}

impl Eviction {
    /// Looks at the server behind a new connection, beside the commands that the connection was
    /// made for. The server may take as long as `bound`.
    pub(super) fn look(self: &Arc<Self>, address: String, link: Arc<Link>, bound: Duration) {
        if lock(&self.seen).contains(&address) {
            return;
        }
        let eviction = Arc::clone(self);
        tokio::spawn(async move { timeout(bound, eviction.ask(address, &link)).await });
    }

    async fn ask(&self, address: String, link: &Link) {
        let account = link.send(&Commands::of(&[&[b"INFO", b"memory"]])).await;
        match account.and_then(last::<String>) {
            Ok(account) => {
                let policy = policy(&account).unwrap_or("unknown");
                tracing::debug!(server = address, "the maxmemory-policy of Redis is {policy}");
                if !matches!(policy, "noeviction" | "unknown")
                    && !self.warned.swap(true, Ordering::Relaxed)
                {
                    tracing::warn!(
                        server = address,
                        "Redis may evict records: its maxmemory-policy is {policy}, not noeviction. What is evicted is \
                         lost, and an operation can then run twice"
                    );
                }
            }
            // Some servers reject the question.
            Err(error) if matches!(error.kind(), ErrorKind::Server(_)) => {}
            // The next connection asks again.
            Err(_) => return,
        }
        lock(&self.seen).insert(address);
    }
}

pub(super) fn policy(account: &str) -> Option<&str> {
    account.lines().find_map(|line| line.strip_prefix("maxmemory_policy:")).map(str::trim)
}
