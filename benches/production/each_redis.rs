//! Runs a case on each server that the Redis tests use.

use std::process::Command;

use crate::redis::RedisServer;

/// The variable that selects the server. One process uses one server.
const VARIABLE: &str = "IDEMPOTENCY_TEST_REDIS";

/// Runs the case in a separate process for each server.
pub(crate) fn run(case: &str) {
    for server in ["redis-6.2", "", "valkey-9.1"] {
        let mut process = Command::new(std::env::current_exe().unwrap());
        let status = process.args([case, "here"]).env(VARIABLE, server).status().unwrap();
        assert!(status.success(), "{case} on {server:?}");
    }
}

/// The name and version that the server reports.
pub(crate) fn version(server: &RedisServer) -> String {
    let account = server.tell::<String>("INFO server");
    let field = |name: &str| account.lines().find_map(|line| line.strip_prefix(name));
    match field("valkey_version:") {
        Some(version) => format!("Valkey {version}"),
        None => format!("Redis {}", field("redis_version:").unwrap()),
    }
}
