//! The example `service`, on embedded stores and on servers.

use std::fs::File;
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::patiently;
use crate::support::postgres::PostgresServer;
use crate::support::redis::RedisServer;
use crate::support::sandbox::{Sandbox, SandboxResponse, example};

mod ends;
mod requests;
mod start;

/// The stores of one test, which several runs of the service may use.
struct Stores {
    directory: TempDir,
    servers: Option<(RedisServer, PostgresServer)>,
    /// Variables besides those of the stores.
    variables: Vec<(&'static str, &'static str)>,
}

impl Stores {
    fn embedded() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), servers: None, variables: Vec::new() }
    }

    /// Redis, and PostgreSQL with these settings, whose tables are made.
    async fn on_servers(settings: &[&str]) -> Self {
        let servers = (RedisServer::start(), PostgresServer::start_with(settings));
        let stores = Self { servers: Some(servers), ..Self::embedded() };
        let migrated = stores.command().arg("migrate").output().await.unwrap();
        assert!(migrated.status.success(), "{migrated:?}");
        stores
    }

    /// Both kinds.
    async fn all() -> [Self; 2] {
        [Self::embedded(), Self::on_servers(&[]).await]
    }

    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.variables.push((name, value));
        self
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("service.db")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(example("service"));
        command
            .env_remove("RUST_LOG")
            .env_remove("REDIS_URL")
            .env_remove("DATABASE_URL")
            .env("LISTEN", "127.0.0.1:0")
            .env("TOKENS", "token-of-alice=1,new-token-of-alice=1,token-of-bob=2")
            .env("SQLITE_FILE", self.file());
        if let Some((redis, postgres)) = &self.servers {
            command.env("REDIS_URL", redis.url()).env("DATABASE_URL", postgres.url());
        }
        command.envs(self.variables.iter().copied());
        command
    }

    /// Runs the service. Its log is in the file `log` of the directory.
    async fn start(&self) -> Sandbox {
        let log = File::options().append(true).create(true).open(self.log_file()).unwrap();
        let started = Sandbox::run(self.command().stderr(log)).await;
        started.unwrap_or_else(|| panic!("the service ended: {}", self.log()))
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap()
    }

    /// Runs the service, which ends by itself.
    async fn fails(&self, variables: &[(&str, &str)]) -> String {
        let mut command = self.command();
        let output = command.envs(variables.iter().copied()).kill_on_drop(true).output();
        let Output { status, stderr, .. } = patiently(output).await.unwrap();
        let log = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(1), "{log}");
        log.lines().last().unwrap().to_owned()
    }

    async fn sqlite(&self) -> SqliteConnection {
        let busy = Duration::from_millis(500);
        let options = SqliteConnectOptions::new().filename(self.file()).busy_timeout(busy);
        options.connect().await.unwrap()
    }

    async fn postgres(&self) -> PgConnection {
        PgConnection::connect(&self.servers.as_ref().unwrap().1.url()).await.unwrap()
    }

    /// How many orders there are, and how many books are left.
    async fn books(&self) -> (i64, i64) {
        let books = "SELECT (SELECT count(*) FROM orders), CAST(quantity AS bigint) FROM stock";
        match self.servers {
            Some(_) => sqlx::query_as(books).fetch_one(&mut self.postgres().await).await.unwrap(),
            None => sqlx::query_as(books).fetch_one(&mut self.sqlite().await).await.unwrap(),
        }
    }

    /// Waits until an order waits for the table of the stock, which another transaction holds.
    async fn order_waits(&self) {
        let waiting = "SELECT count(*) FROM pg_stat_activity \
                       WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE stock%'";
        let mut connection = self.postgres().await;
        let look = async {
            while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut connection).await.unwrap()
                == 0
            {}
        };
        patiently(look).await;
    }
}

fn payment() -> Value {
    json!({ "amount": 1200, "currency": "EUR" })
}

fn order() -> Value {
    json!({ "item": "book", "quantity": 2 })
}

/// Sends a body under a key.
async fn send(
    service: &Sandbox,
    path: &str,
    token: &str,
    key: &str,
    body: &Value,
) -> SandboxResponse {
    let head = service.json(path).header("x-idempotency-key", key);
    service.send(head.header("authorization", format!("Bearer {token}")), body.to_string()).await
}

async fn pay(service: &Sandbox, key: &str) -> SandboxResponse {
    send(service, "/v1/payments", "token-of-alice", key, &payment()).await
}

async fn place(service: &Sandbox, key: &str) -> SandboxResponse {
    send(service, "/v1/orders", "token-of-alice", key, &order()).await
}

#[track_caller]
fn assert_made(response: &SandboxResponse, is_replay: bool) {
    assert_eq!((response.status.as_u16(), response.is_replay()), (201, is_replay), "{response:?}");
}
