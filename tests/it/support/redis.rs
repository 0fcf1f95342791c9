//! A private Redis server for one test.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A server that answers from the moment it is made until it is dropped.
pub(crate) struct RedisServer {
    child: Child,
    port: u16,
    directory: TempDir,
}

impl RedisServer {
    /// Starts a server on a free port.
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Another process may take the port between the look and the start.
        for _ in 0..5 {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let port = free.local_addr().unwrap().port();
            drop(free);
            if let Some(child) = spawn(port, directory.path()) {
                return Self { child, port, directory };
            }
        }
        panic!("redis-server did not start on any of five free ports");
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends the server as a crash would. Its data is lost.
    pub(crate) fn kill(&mut self) {
        // It fails only if the server has ended already.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    /// Starts the server again on its port, empty; ends it first if it still runs.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.child = spawn(self.port, self.directory.path()).expect("redis-server did not start again");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts a server and waits until it says that it is ready; `None` if it ended before.
fn spawn(port: u16, directory: &Path) -> Option<Child> {
    let mut child = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
        .arg(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!(
                "redis-server cannot be run ({error}). This test starts one of its own: install \
                 Redis 7 or later so that `redis-server` is in the PATH"
            )
        });
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    if lines.any(|line| line.contains("Ready to accept connections")) {
        // A pipe that nobody empties would stop the server when it is full.
        std::thread::spawn(move || lines.for_each(drop));
        return Some(child);
    }
    child.wait().unwrap();
    None
}
