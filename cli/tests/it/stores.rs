//! The stores that a test and the program share.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tower_idempotency::store::{DynStore, Store as _};
use tower_idempotency::{RedisStore, SqliteStore};

use crate::planted::Site;

/// A store of its own for one test. It ends when it is dropped.
pub(crate) struct Shared {
    pub(crate) site: Site,
    pub(crate) url: String,
    _server: Option<Server>,
    _folder: TempDir,
}

impl Shared {
    /// A new file.
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("idempotency.db");
        let store = SqliteStore::open(&path).await.unwrap();
        Self {
            site: Site::on(DynStore::new(store)),
            url: format!("sqlite:{}", path.display()),
            _server: None,
            _folder: folder,
        }
    }

    /// A new server, on a socket in a folder of its own.
    pub(crate) async fn redis() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("redis.sock");
        let server = Server::start(folder.path(), &socket);
        let url = format!("redis+unix://{}", socket.display());
        let store = RedisStore::open(&url).unwrap();
        let start = Instant::now();
        while let Err(error) = store.ping().await {
            assert!(start.elapsed() < Duration::from_secs(20), "redis-server: {error}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self { site: Site::on(DynStore::new(store)), url, _server: Some(server), _folder: folder }
    }

    /// Sends a command to the server, outside of the store.
    pub(crate) fn tell(&self, command: &str) {
        let socket = self.url.strip_prefix("redis+unix://").unwrap();
        let mut server = UnixStream::connect(socket).unwrap();
        server.write_all(format!("{command}\r\n").as_bytes()).unwrap();
        let mut reply = [0; 5];
        server.read_exact(&mut reply).unwrap();
        assert_eq!(&reply, b"+OK\r\n", "{command}");
    }

    /// One of each.
    pub(crate) async fn each() -> [Self; 2] {
        [Self::sqlite().await, Self::redis().await]
    }
}

struct Server(Child);

impl Server {
    fn start(folder: &Path, socket: &Path) -> Self {
        let started = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--dir"])
            .arg(folder)
            .arg("--unixsocket")
            .arg(socket)
            .stdout(Stdio::null())
            .spawn();
        Self(started.unwrap_or_else(|error| panic!("redis-server: {error}: run scripts/servers")))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It fails only if the server has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
