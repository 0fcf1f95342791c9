//! The warning that Redis may evict records.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tower_idempotency::RedisStore;
use tower_idempotency::store::Store;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::patiently;
use crate::support::redis::RedisServer;

/// The log of this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn warnings(&self) -> Vec<String> {
        self.text().lines().filter(|line| line.contains("WARN")).map(str::to_owned).collect()
    }

    /// Waits until servers were looked at so many times.
    async fn looked(&self, times: usize) {
        patiently(async {
            while self.text().matches("the maxmemory-policy of Redis is").count() < times {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Collects the log of this thread, which the tests' runtimes do not leave.
fn log() -> (Log, tracing::subscriber::DefaultGuard) {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::DEBUG)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    (log, tracing::subscriber::set_default(subscriber))
}

fn tell(server: &RedisServer, command: &str) {
    let mut connection = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    let mut words = command.split(' ');
    let mut command = redis::cmd(words.next().unwrap());
    command.arg(words.collect::<Vec<_>>()).exec(&mut connection).unwrap();
}

#[tokio::test]
async fn a_server_that_may_evict_records_is_told_of_once() {
    let (log, _guard) = log();
    let mut server = RedisServer::start();
    tell(&server, "CONFIG SET maxmemory-policy allkeys-lru");
    let store = RedisStore::open(&server.url()).unwrap();
    store.ping().await.unwrap();
    log.looked(1).await;
    let warnings = log.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("allkeys-lru") && warnings[0].contains("run twice"),
        "{warnings:?}"
    );

    // Neither a clone nor a new connection says it again.
    store.clone().ping().await.unwrap();
    server.restart();
    while store.ping().await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    store.ping().await.unwrap();
    assert_eq!(log.warnings().len(), 1);

    // Another store does.
    tell(&server, "CONFIG SET maxmemory-policy volatile-ttl");
    RedisStore::open(&server.url()).unwrap().ping().await.unwrap();
    log.looked(2).await;
    assert_eq!(log.warnings().len(), 2);
}

#[tokio::test]
async fn a_server_that_evicts_nothing_is_not_told_of() {
    let (log, _guard) = log();
    let server = RedisServer::start();
    RedisStore::open(&server.url()).unwrap().ping().await.unwrap();
    log.looked(1).await;
    assert!(log.warnings().is_empty(), "{}", log.text());
}

#[tokio::test]
async fn a_server_that_does_not_let_itself_be_asked_is_used_all_the_same() {
    let (log, _guard) = log();
    let server = RedisServer::start();
    tell(&server, "CONFIG SET maxmemory-policy allkeys-lru");
    tell(&server, "ACL SETUSER shop on >secret ~* +@all -info");
    let store = RedisStore::open(&server.url().replace("://", "://shop:secret@")).unwrap();
    for _ in 0..10 {
        store.ping().await.unwrap();
    }
    assert!(log.warnings().is_empty(), "{}", log.text());
}
