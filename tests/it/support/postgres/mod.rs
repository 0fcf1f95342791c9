//! Private PostgreSQL servers for one test, and a pooler before one.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use http::{HeaderMap, Method, StatusCode};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tempfile::TempDir;
use tower_idempotency::store::{
    Lease, Outcome, Reservation, ReserveRequest, StorageKey, StoredBody,
};
use tower_idempotency::{Fingerprint, IdempotencyKey, PostgresStore, Scope};

mod bouncer;
pub(crate) mod crowd;
mod process;

pub(crate) use bouncer::PgBouncer;
#[allow(unused_imports)]
pub(crate) use process::as_server;
use process::{children, is_gone, program, signal, spawn, template};

/// A server that is ready from the moment it is made until it is dropped.
pub(crate) struct PostgresServer {
    child: Child,
    port: u16,
    directory: TempDir,
    settings: Vec<String>,
}

impl PostgresServer {
    /// Starts a server on a free port, with an empty database.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with these settings beside those that all have.
    pub(crate) fn start_with(settings: &[&str]) -> Self {
        Self::start_from(&template(false), settings, &[])
    }

    /// Starts a server that accepts TLS, with this certificate and its key in PEM, and connections
    /// without it.
    #[allow(dead_code)]
    pub(crate) fn start_with_tls(certificate: &str, key: &str) -> Self {
        let files = [("server.crt", certificate), ("server.key", key)];
        Self::start_from(&template(false), &["ssl=on"], &files)
    }

    /// Starts a server on which a test can make a database of its own.
    #[allow(dead_code)]
    pub(crate) fn start_with_templates() -> Self {
        Self::start_from(&template(true), &[], &[])
    }

    /// The files are secrets of the server, in the directory of its data.
    fn start_from(template: &Path, settings: &[&str], files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        as_server(&mut Command::new("true"), Some(directory.path()));
        let copied =
            Command::new("cp").arg("-a").arg(template).arg(directory.path().join("data")).status();
        assert!(copied.unwrap().success());
        for (name, text) in files {
            let path = write(&directory.path().join("data"), name, text);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            as_server(&mut Command::new("true"), Some(&path));
        }
        let settings: Vec<_> = settings.iter().map(ToString::to_string).collect();
        // Another process may take the port between the look and the start.
        for _ in 0..5 {
            let port = free_port();
            if let Some(child) = run(port, directory.path(), &settings) {
                return Self { child, port, directory, settings };
            }
        }
        panic!("postgres did not start on any of five free ports");
    }

    /// Starts a server whose table is there.
    pub(crate) fn start_migrated() -> Self {
        let server = Self::start();
        let migrate = async { server.store().migrate().await.unwrap() };
        // Not in the runtime of the test, if it has one.
        let runtime =
            || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || runtime().block_on(migrate)).join().unwrap();
        });
        server
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        url(self.port)
    }

    /// The flag `--store` of a sandbox that runs its attempts in transactions.
    pub(crate) fn tx_url(&self) -> String {
        self.url().replacen("postgres://", "postgres+tx://", 1)
    }

    /// The directory of its files.
    #[allow(dead_code)]
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A pool of its own, as an application has it.
    pub(crate) fn pool(&self) -> PgPool {
        pool(self.port, 20)
    }

    pub(crate) fn store(&self) -> PostgresStore {
        PostgresStore::new(self.pool())
    }

    /// Ends all processes of the server as a crash of the machine would. Committed rows are there
    /// when it starts again.
    pub(crate) fn kill(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let own = self.child.id();
        signal("-STOP", &[own]);
        let children = children(own);
        signal("-KILL", &children);
        let _ = self.child.kill();
        self.child.wait().unwrap();
        let start = Instant::now();
        while !children.iter().all(|child| is_gone(*child)) {
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "a process of the server did not end"
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Starts the server again on its port, with its data; ends it first if it still runs.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.child = run(self.port, self.directory.path(), &self.settings)
            .expect("postgres did not start again");
    }

    /// Stops the server where it is: connections stay open, and it sends no reply.
    pub(crate) fn stop(&self) {
        let own = self.child.id();
        signal("-STOP", &[own]);
        signal("-STOP", &children(own));
    }

    pub(crate) fn resume(&self) {
        let own = self.child.id();
        signal("-CONT", &children(own));
        signal("-CONT", &[own]);
    }
}

impl Drop for PostgresServer {
    /// Shuts the server down at once. After a crash its shared memory would stay, and a system has
    /// no more than some thousand pieces of that.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        self.resume();
        signal("-QUIT", &[self.child.id()]);
        let start = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && start.elapsed() < Duration::from_secs(5)
        {
            std::thread::sleep(Duration::from_millis(2));
        }
        self.kill();
    }
}

/// A database at this port, asked for by the one user that there is.
pub(crate) fn url(port: u16) -> String {
    format!("postgres://postgres@127.0.0.1:{port}/postgres")
}

/// A pool of at most so many connections.
pub(crate) fn pool(port: u16, connections: u32) -> PgPool {
    PgPoolOptions::new().max_connections(connections).connect_lazy(&url(port)).unwrap()
}

/// Starts a server and waits until it says that it is ready; `None` if it ended before.
fn run(port: u16, directory: &Path, settings: &[String]) -> Option<Child> {
    let mut command = Command::new(program("postgres"));
    command.arg("-D").arg(directory.join("data")).args(["-p", &port.to_string()]);
    let sockets = format!("unix_socket_directories={}", directory.display());
    let common = [
        "listen_addresses=127.0.0.1",
        &sockets,
        // A crash of processes loses nothing that the system was given.
        "fsync=off",
        "shared_buffers=16MB",
        "max_connections=100",
        "autovacuum=off",
    ];
    for setting in common.into_iter().chain(settings.iter().map(String::as_str)) {
        command.args(["-c", setting]);
    }
    as_server(&mut command, None);
    spawn(command, "ready to accept connections")
}

/// A free port below those that the system gives to outgoing connections. Otherwise such a
/// connection could take the port of a server while it is down.
pub(crate) fn free_port() -> u16 {
    const RANGE: std::ops::Range<u16> = 5_500..10_400;
    static NEXT: std::sync::atomic::AtomicU16 = std::sync::atomic::AtomicU16::new(0);
    let own = u16::try_from(std::process::id() * 61 % u32::from(RANGE.end - RANGE.start)).unwrap();
    loop {
        let next = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let port = RANGE.start + (own + next) % (RANGE.end - RANGE.start);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// Writes a file that the user of the servers may read.
fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    path
}

/// What a contender asks for who takes over whatever may be taken over.
pub(crate) fn request(key: &str) -> ReserveRequest {
    let parsed = IdempotencyKey::parse(key.as_bytes()).unwrap();
    ReserveRequest::new(
        StorageKey::derive(None, "postgres", &Scope::anonymous(), &parsed),
        Fingerprint::of_request(&Method::POST, "/", &HeaderMap::new(), &[], b""),
    )
    .lease(Duration::from_mins(1))
    .retention(Duration::from_mins(2))
}

pub(crate) fn outcome(status: u16, bytes: usize) -> Outcome {
    let body = StoredBody::Whole { bytes: vec![b'x'; bytes].into(), trailers: None };
    let status = StatusCode::from_u16(status).unwrap();
    Outcome::new(status, body)
}

#[track_caller]
pub(crate) fn acquired(reservation: Reservation) -> Lease {
    match reservation {
        Reservation::Acquired(lease) => lease,
        Reservation::Found(record) => panic!("another attempt's record was found: {record:?}"),
    }
}
