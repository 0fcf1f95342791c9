//! A server of PostgreSQL, and a file of SQLite.

use std::path::PathBuf;
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Executor, SqliteConnection};
use tempfile::TempDir;
use tokio::runtime::Handle;

use crate::faults::schedules::plan::StoreFault;
use crate::support::postgres::{self, PostgresServer};
use crate::support::wire::{State, Wire};

/// One server, and a network between it and each sandbox.
pub(in crate::faults::schedules) struct Postgres {
    server: PostgresServer,
    wires: Vec<Wire>,
}

impl Postgres {
    pub(super) async fn start(sandboxes: usize) -> Self {
        // Connections whose network is stalled count, too.
        let settings = ["max_connections=300"];
        let server = tokio::task::block_in_place(|| PostgresServer::start_with(&settings));
        let mut wires = Vec::new();
        for _ in 0..sandboxes {
            wires.push(Wire::start(server.port()).await);
        }
        Self { server, wires }
    }

    pub(super) fn url(&self, sandbox: usize) -> String {
        postgres::url(self.wires[sandbox].port())
    }

    pub(super) fn set_network(&self, sandbox: usize, state: State) {
        self.wires[sandbox].set(state);
    }

    pub(super) fn inject(&mut self, fault: StoreFault) {
        match fault {
            StoreFault::Stop => self.server.stop(),
            StoreFault::Crash => self.server.kill(),
            other => unreachable!("one server of PostgreSQL has no {other:?}"),
        }
    }

    pub(super) fn undo(&mut self, fault: StoreFault) {
        match fault {
            StoreFault::Stop => self.server.resume(),
            StoreFault::Crash => self.server.restart(),
            other => unreachable!("one server of PostgreSQL has no {other:?}"),
        }
    }
}

/// A file that all sandboxes share.
pub(in crate::faults::schedules) struct File {
    directory: TempDir,
    writing: Option<SqliteConnection>,
}

/// A sandbox that was stopped in the middle of a write is in the way until it goes on.
const BUSY: Duration = Duration::from_secs(20);

impl File {
    pub(super) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), writing: None }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("records.db")
    }

    pub(super) fn url(&self) -> String {
        format!("sqlite:{}", self.path().display())
    }

    pub(super) fn inject(&mut self, fault: StoreFault) {
        assert_eq!(fault, StoreFault::Stop, "a file has no other fault");
        let begin = async {
            let options = SqliteConnectOptions::new().filename(self.path()).busy_timeout(BUSY);
            let mut connection = options.connect().await.unwrap();
            connection.execute("BEGIN IMMEDIATE").await.unwrap();
            connection
        };
        self.writing = Some(Handle::current().block_on(begin));
    }

    pub(super) fn undo(&mut self, _: StoreFault) {
        let mut connection = self.writing.take().expect("it was injected before");
        Handle::current().block_on(connection.execute("ROLLBACK")).unwrap();
    }
}
