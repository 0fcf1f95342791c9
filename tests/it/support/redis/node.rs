//! One process of a group of Redis servers.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use redis::{Client, FromRedisValue, RedisResult};
use tempfile::TempDir;

use super::program::program;

/// A `redis-server` with a directory and a port of its own, ended when it is dropped.
pub(super) struct Node {
    port: u16,
    directory: TempDir,
    mode: Mode,
    child: Child,
    killed: bool,
    stopped: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Server,
    Sentinel,
}

impl Node {
    /// Starts a server with these lines of configuration, and returns when it replies.
    pub(super) fn start(mode: Mode, configuration: &str) -> Self {
        // Another process may take the port between the look and the start.
        for _ in 0..5 {
            let port = free_port();
            let directory = tempfile::tempdir().unwrap();
            let own = directory.path().display();
            let lines = format!("port {port}\nbind 127.0.0.1\ndir {own}\n{configuration}\n");
            fs::write(directory.path().join("redis.conf"), lines).unwrap();
            if let Some(child) = spawn(mode, &directory, &[]) {
                return Self { port, directory, mode, child, killed: false, stopped: false };
            }
        }
        panic!("redis-server did not start on any of five free ports");
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn runs(&self) -> bool {
        !self.killed && !self.stopped
    }

    pub(super) fn is_killed(&self) -> bool {
        self.killed
    }

    /// Ends the server as a crash would.
    pub(super) fn kill(&mut self) {
        // It fails only if the server has ended already.
        let _ = self.child.kill();
        self.child.wait().unwrap();
        (self.killed, self.stopped) = (true, false);
    }

    /// Starts a server that was killed again, on its port and with what it had written down;
    /// `arguments` count more.
    pub(super) fn start_again(&mut self, arguments: &[&str]) {
        self.child =
            spawn(self.mode, &self.directory, arguments).expect("redis-server did not start again");
        self.killed = false;
    }

    /// Stops the server where it is: connections stay open, and it sends no reply.
    pub(super) fn stop(&mut self) {
        self.signal("-STOP");
        self.stopped = true;
    }

    pub(super) fn resume(&mut self) {
        if self.stopped {
            self.signal("-CONT");
            self.stopped = false;
        }
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// Sends one command, its words parted by spaces, on a connection of its own.
    pub(super) fn ask<T: FromRedisValue>(&self, command: &str) -> RedisResult<T> {
        let bound = Duration::from_secs(2);
        let client = Client::open(format!("redis://127.0.0.1:{}", self.port))?;
        let mut connection = client.get_connection_with_timeout(bound)?;
        connection.set_read_timeout(Some(bound))?;
        let mut words = command.split(' ');
        redis::cmd(words.next().unwrap()).arg(words.collect::<Vec<_>>()).query(&mut connection)
    }

    /// Whether the reply to a command about the server has this line.
    pub(super) fn says(&self, command: &str, line: &str) -> bool {
        self.ask::<String>(command)
            .is_ok_and(|response| response.lines().any(|found| found == line))
    }

    /// Whether it is a primary whose replicas are this many, and have all that it had when it was
    /// asked first.
    pub(super) fn leads(&self, replicas: usize) -> bool {
        let account = || self.ask::<String>("INFO replication").unwrap_or_default();
        let field = |line: &str, name: &str| {
            line.split_once(name)?.1.split(',').next()?.parse::<u64>().ok()
        };
        let first = account();
        let Some(goal) = first.lines().find_map(|line| field(line, "master_repl_offset:")) else {
            return false;
        };
        let follows = |line: &&str| {
            line.contains("state=online")
                && field(line, "offset=").is_some_and(|offset| offset >= goal)
        };
        // A replica tells once a second how far it has come.
        let start = Instant::now();
        while self.says("INFO replication", "role:master")
            && start.elapsed() < Duration::from_secs(3)
        {
            if account().lines().filter(follows).count() == replicas {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits for what must come, but not for ever.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_mins(1), "{what}: it did not come to that");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A free port whose bus port, 10,000 above, is free too. Both are below those that the system
/// gives to outgoing connections. Otherwise such a connection could take the port of a server while
/// it is down.
fn free_port() -> u16 {
    const RANGE: std::ops::Range<u16> = 10_500..22_500;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(std::process::id() * 61 % u32::from(RANGE.end - RANGE.start)).unwrap();
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    loop {
        let step = (own + NEXT.fetch_add(1, Ordering::Relaxed)) % (RANGE.end - RANGE.start);
        let port = RANGE.start + step;
        if is_free(port) && is_free(port + 10_000) {
            return port;
        }
    }
}

/// Starts a server and waits until it says that it is ready; `None` if it ended before.
fn spawn(mode: Mode, directory: &TempDir, arguments: &[&str]) -> Option<Child> {
    // Without it there is an error to tell of.
    let mut command = Command::new(program().unwrap_or("redis-server".as_ref()));
    command.arg(directory.path().join("redis.conf")).args(arguments);
    let ready = match mode {
        Mode::Server => "Ready to accept connections",
        Mode::Sentinel => {
            command.arg("--sentinel");
            "+monitor"
        }
    };
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap_or_else(|error| {
            panic!(
                "this test starts several Redis servers of its own, which a container cannot stand in for, and there is no \
                 `redis-server` in the PATH ({error}): run `scripts/servers`"
            )
        });
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    if lines.any(|line| line.contains(ready)) {
        // A pipe that is not emptied would stop the server when it is full.
        std::thread::spawn(move || lines.for_each(drop));
        return Some(child);
    }
    child.wait().unwrap();
    None
}
