//! Private Redis servers for one test: one alone, a group under Sentinel, or a cluster.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

// Not every set of features has tests of both.
#[allow(dead_code)]
mod cluster;
#[cfg(feature = "conformance")]
pub(crate) mod fake;
#[allow(dead_code)]
mod node;
#[cfg(feature = "conformance")]
pub(crate) mod operated;
mod program;
#[allow(dead_code)]
mod sentinel;
#[allow(dead_code)]
mod tls;
#[cfg(feature = "conformance")]
pub(crate) mod traffic;

#[allow(unused_imports)]
pub(crate) use cluster::Cluster;
#[allow(unused_imports)]
pub(crate) use node::until;
#[allow(unused_imports)]
pub(crate) use program::is_before_7;
use program::program;
#[allow(unused_imports)]
pub(crate) use sentinel::SentinelGroup;
#[allow(unused_imports)]
pub(crate) use tls::TlsServer;

/// A server that is ready from the moment it is made until it is dropped.
pub(crate) struct RedisServer {
    child: Child,
    port: u16,
    directory: TempDir,
    durable: bool,
}

impl RedisServer {
    /// Starts a server on a free port.
    pub(crate) fn start() -> Self {
        Self::start_as(false)
    }

    /// Starts a server that has written down everything it acknowledges, so that a crash loses
    /// nothing.
    pub(crate) fn start_durable() -> Self {
        Self::start_as(true)
    }

    fn start_as(durable: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Another process may take the port between the look and the start.
        for _ in 0..5 {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let port = free.local_addr().unwrap().port();
            drop(free);
            if let Some(child) = spawn(port, directory.path(), durable) {
                return Self { child, port, directory, durable };
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

    /// The names of the records that it holds.
    pub(crate) fn names(&self) -> Vec<Vec<u8>> {
        redis::cmd("KEYS")
            .arg("idempotency:[0-9a-f][0-9a-f]*")
            .query(&mut self.connection())
            .unwrap()
    }

    /// The status of each record that it holds: `P`, `S` or `F`.
    pub(crate) fn statuses(&self) -> Vec<String> {
        let mut connection = self.connection();
        let status =
            |name| redis::cmd("GETRANGE").arg(name).arg(1).arg(1).query(&mut connection).unwrap();
        self.names().iter().map(status).collect()
    }

    /// Makes a record as old as if its clock had stepped forward.
    pub(crate) fn age(&self, name: &[u8], step: std::time::Duration) {
        let mut connection = self.connection();
        let left: i64 = redis::cmd("PTTL").arg(name).query(&mut connection).unwrap();
        let step = i64::try_from(step.as_millis()).unwrap();
        redis::cmd("PEXPIRE").arg(name).arg(left - step).exec(&mut connection).unwrap();
    }

    /// How many values it holds, of whatever kind.
    pub(crate) fn size(&self) -> usize {
        redis::cmd("DBSIZE").query(&mut self.connection()).unwrap()
    }

    /// Removes every value.
    pub(crate) fn clear(&self) {
        redis::cmd("FLUSHALL").exec(&mut self.connection()).unwrap();
    }

    /// Sends one command, its words parted by spaces.
    #[allow(dead_code)]
    pub(crate) fn tell<T: redis::FromRedisValue>(&self, command: &str) -> T {
        let mut words = command.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        command.arg(words.collect::<Vec<_>>()).query(&mut self.connection()).unwrap()
    }

    /// The directory of its files.
    #[allow(dead_code)]
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Writes all values into a file, as they are.
    #[cfg(feature = "conformance")]
    #[allow(dead_code)]
    pub(crate) fn save(&self) {
        let mut connection = self.connection();
        redis::cmd("CONFIG").arg(&["SET", "rdbcompression", "no"]).exec(&mut connection).unwrap();
        redis::cmd("SAVE").exec(&mut connection).unwrap();
    }

    fn connection(&self) -> redis::Connection {
        redis::Client::open(self.url()).and_then(|client| client.get_connection()).unwrap()
    }

    /// Stops the server where it is: connections stay open, and it sends no reply.
    pub(crate) fn stop(&self) {
        self.signal("-STOP", "pause");
    }

    pub(crate) fn resume(&self) {
        self.signal("-CONT", "unpause");
    }

    fn signal(&self, signal: &str, docker: &str) {
        let sent = if installed() {
            Command::new("kill").args([signal, &self.child.id().to_string()]).status()
        } else {
            Command::new("docker").args([docker, &container(self.port)]).status()
        };
        assert!(sent.unwrap().success());
    }

    /// Ends the server as a crash would. Its data is lost, unless the server is durable.
    pub(crate) fn kill(&mut self) {
        // Both fail only if the server has ended already.
        if installed() {
            let _ = self.child.kill();
        } else {
            let _ = Command::new("docker").args(["kill", &container(self.port)]).output();
        }
        self.child.wait().unwrap();
    }

    /// Starts the server again on its port, empty; ends it first if it still runs.
    pub(crate) fn restart(&mut self) {
        self.kill();
        // The only thing a durable server leaves there: a folder since 7.0, a file before.
        let _ = std::fs::remove_dir_all(self.directory.path().join("appendonlydir"));
        let _ = std::fs::remove_file(self.directory.path().join("appendonly.aof"));
        self.revive();
    }

    /// Starts a durable server again on its port, with its data; ends it first if it still runs.
    pub(crate) fn revive(&mut self) {
        self.kill();
        self.child = spawn(self.port, self.directory.path(), self.durable)
            .expect("redis-server did not start again");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn installed() -> bool {
    program().is_some()
}

/// The name of the container where Redis is not installed.
fn container(port: u16) -> String {
    format!("idempotency-test-{port}")
}

/// The server as it is installed, or a container of the service in docker-compose.yml.
fn command(port: u16, directory: &Path, durable: bool) -> Command {
    let mut command;
    if let Some(program) = program() {
        command = Command::new(program);
        command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
            .arg(directory);
    } else {
        command = Command::new("docker");
        command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["compose", "run", "--rm", "--name"]);
        command.args([&container(port), "--publish", &format!("127.0.0.1:{port}:6379")]);
        command.args(["--volume", &format!("{}:/data", directory.display()), "redis"]);
        command.args(["redis-server", "--save", ""]);
    }
    if durable {
        command.args(["--appendonly", "yes", "--appendfsync", "always"]);
    }
    command
}

fn spawn(port: u16, directory: &Path, durable: bool) -> Option<Child> {
    ready(command(port, directory, durable))
}

/// Starts a server and waits until it says that it is ready; `None` if it ended before.
fn ready(mut command: Command) -> Option<Child> {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap_or_else(|error| {
            panic!(
                "this test starts a Redis server of its own, and there is neither `redis-server` nor `docker` in the \
                 PATH ({error}): run `scripts/servers`"
            )
        });
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    if lines.any(|line| line.contains("Ready to accept connections")) {
        // A pipe that is not emptied would stop the server when it is full.
        std::thread::spawn(move || lines.for_each(drop));
        return Some(child);
    }
    child.wait().unwrap();
    None
}
