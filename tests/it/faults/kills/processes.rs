//! The sandboxes and their database, and how they are killed.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::clients::Clients;
use crate::support::postgres::{PostgresServer, free_port};
use crate::support::random::Draw;
use crate::support::sandbox::Sandbox;

pub(super) enum Database {
    Postgres(PostgresServer),
    /// A file, in this directory.
    Sqlite(TempDir),
}

pub(super) struct Processes {
    database: Database,
    running: Vec<Sandbox>,
    // Where the sandboxes write what they have to say.
    directory: TempDir,
}

/// How many kills and restarts there were, and how many of each while requests were in flight.
pub(super) struct Suffered {
    pub(super) kills: (usize, usize),
    pub(super) restarts: (usize, usize),
}

/// Nothing takes this long to start unless it never does.
const PATIENCE: Duration = Duration::from_secs(30);

impl Database {
    pub(super) fn postgres() -> Self {
        Self::Postgres(PostgresServer::start())
    }

    pub(super) fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "postgres+tx",
            Self::Sqlite(_) => "sqlite+tx",
        }
    }

    fn url(&self) -> String {
        match self {
            Self::Postgres(server) => server.tx_url(),
            Self::Sqlite(directory) => format!("sqlite+tx:{}/shop.db", directory.path().display()),
        }
    }
}

impl Processes {
    pub(super) async fn start(database: Database, servers: usize) -> Self {
        let mut processes =
            Self { database, running: Vec::new(), directory: tempfile::tempdir().unwrap() };
        for _ in 0..servers {
            // Another process may take the port between the look and the start.
            let mut sandbox = None;
            while sandbox.is_none() {
                sandbox = processes.sandbox(free_port()).await;
            }
            processes.running.extend(sandbox);
        }
        processes
    }

    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.running.iter().map(Sandbox::address).collect()
    }

    pub(super) fn database(&self) -> &Database {
        &self.database
    }

    async fn sandbox(&self, port: u16) -> Option<Sandbox> {
        let (url, notes) = (self.database.url(), self.directory.path().join("stderr"));
        Sandbox::start_at(port, &notes, &["--store", &url]).await
    }

    /// Kills one after another, in random order, with as many operations done between any two.
    pub(super) async fn suffer(
        &mut self,
        kills: usize,
        restarts: usize,
        clients: &Clients,
        draw: &mut Draw,
    ) -> Suffered {
        let mut suffered = Suffered { kills: (0, 0), restarts: (0, 0) };
        let (all, mut kills_left) = (kills + restarts, kills);
        for number in 0..all {
            clients.have_done((number + 1) * clients.operations() / (all + 1)).await;
            let is_kill = draw.index(all - number) < kills_left;
            if is_kill {
                kills_left -= 1;
                let server = draw.index(self.running.len());
                let hit = self.kill(server, clients, draw).await;
                suffered.kills = (suffered.kills.0 + 1, suffered.kills.1 + usize::from(hit));
            } else {
                let hit = self.restart_database(clients, draw).await;
                suffered.restarts =
                    (suffered.restarts.0 + 1, suffered.restarts.1 + usize::from(hit));
            }
        }
        suffered
    }

    /// Kills a sandbox and starts another one on its port; whether requests were in flight.
    async fn kill(&mut self, server: usize, clients: &Clients, draw: &mut Draw) -> bool {
        clients.are_in_flight(|in_flight| in_flight[server] > 0).await;
        // The moment is to be any moment.
        tokio::time::sleep(draw.millis(0, 15)).await;
        let hit = clients.in_flight()[server] > 0;
        self.running[server].kill().await;
        tokio::time::sleep(draw.millis(0, 100)).await;

        let (start, port) = (Instant::now(), self.running[server].address().port());
        self.running[server] = loop {
            if let Some(next) = self.sandbox(port).await {
                break next;
            }
            assert!(start.elapsed() < PATIENCE, "the sandbox did not start again");
        };
        hit
    }

    /// Kills the server of the database and starts it again with its data; whether requests were in
    /// flight.
    async fn restart_database(&mut self, clients: &Clients, draw: &mut Draw) -> bool {
        let Database::Postgres(server) = &mut self.database else {
            unreachable!("a file has no server");
        };
        clients.are_in_flight(|in_flight| in_flight.iter().any(|count| *count > 0)).await;
        tokio::time::sleep(draw.millis(0, 15)).await;
        let hit = clients.in_flight().iter().any(|count| *count > 0);
        // Servers are started and stopped by blocking calls.
        tokio::task::block_in_place(|| server.kill());
        tokio::time::sleep(draw.millis(0, 300)).await;
        tokio::task::block_in_place(|| server.restart());
        hit
    }

    /// Panics in the sandboxes. No operation asks for one.
    pub(super) fn panics(&self) -> Vec<String> {
        let notes = std::fs::read_to_string(self.directory.path().join("stderr")).unwrap();
        notes.lines().filter(|line| line.contains("panicked at")).map(str::to_owned).collect()
    }
}
