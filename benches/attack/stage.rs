//! A sandbox, its store and its ledger.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use crate::redis::RedisServer;
use crate::sandbox::Sandbox;

pub(crate) const STORES: [&str; 2] = ["memory", "redis"];

pub(crate) struct Stage {
    pub(crate) redis: Option<RedisServer>,
    sandbox: Sandbox,
    ledger: PathBuf,
    _directory: TempDir,
}

impl Stage {
    /// Starts a sandbox with these flags on its own store.
    pub(crate) async fn set(store: &str, flags: &[&str]) -> Self {
        let redis = (store == "redis").then(RedisServer::start);
        let url = redis.as_ref().map_or("memory".into(), RedisServer::url);
        let directory = tempfile::tempdir().unwrap();
        let ledger = directory.path().join("ledger");
        let notes = directory.path().join("notes");
        let own = ["--store", &url, "--ledger", ledger.to_str().unwrap()];
        let sandbox = Sandbox::start_at(0, &notes, &[&own, flags].concat()).await;
        let sandbox = sandbox.expect("the sandbox ended before it listened");
        Self { redis, sandbox, ledger, _directory: directory }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.sandbox.address()
    }

    /// The peak memory of the server, in MiB. `None` on a system that does not report it.
    pub(crate) fn peak(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.sandbox.pid())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? >> 10)
    }

    /// The number of keys of all tenants with more than one effect.
    pub(crate) fn second_effects(&self) -> usize {
        let mut effects = HashMap::<(String, String), usize>::new();
        for line in fs::read_to_string(&self.ledger).unwrap().lines() {
            let effect: Value = serde_json::from_str(line).unwrap();
            let text = |name: &str| effect[name].as_str().unwrap().to_owned();
            *effects.entry((text("scope"), text("key"))).or_default() += 1;
        }
        effects.into_values().filter(|count| *count > 1).count()
    }
}
