//! The processes of a run.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use crate::Policy;

pub(crate) const GATEWAYS: usize = 2;

/// How long a process that was killed is away.
const AWAY: Duration = Duration::from_millis(30);

/// Two gateways over one Redis, in front of one upstream. Each comes back at the same address.
pub(crate) struct Site {
    folder: TempDir,
    gateways: Vec<Process>,
    upstream: Process,
    redis: Process,
}

struct Process {
    address: SocketAddr,
    program: PathBuf,
    arguments: Vec<String>,
    child: Mutex<Child>,
}

impl Site {
    pub(crate) fn start(policy: Policy) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();

        // Each write is on the disk before its reply, so a kill loses no record.
        let redis = free_address();
        let arguments = ["--port", &redis.port().to_string(), "--bind", "127.0.0.1", "--dir"];
        let durable = ["--save", "", "--appendonly", "yes", "--appendfsync", "always"];
        // Its file stays small, so that Redis is back within the store timeout: beyond that, clients
        // get responses that are not stored, and a gateway that is then killed forgets them.
        let small = ["--auto-aof-rewrite-min-size", "2mb"];
        let mut arguments: Vec<_> = arguments.map(str::to_owned).into();
        arguments.push(path(""));
        arguments.extend(durable.iter().chain(&small).map(ToString::to_string));
        let redis = Process::start(redis, "redis-server".into(), arguments);

        let upstream = free_address();
        let arguments = vec![upstream.to_string(), path("ledger")];
        let upstream = Process::start(upstream, example("ledger"), arguments);

        let policies = match policy {
            Policy::Rerun => "on_abandoned = \"rerun\"\non_failed = \"rerun\"",
            Policy::Refuse => "on_abandoned = \"reject\"\non_failed = \"reject\"",
        };
        let gateways = (0..GATEWAYS).map(|number| {
            let address = free_address();
            let config = path(&format!("gateway-{number}.toml"));
            let text = format!(
                "listen = \"{address}\"\nupstream = \"http://{}\"\nstore = \"redis://{}\"\n\
                 [timeouts]\nfirst_byte = \"5s\"\n[log]\nlevel = \"error\"\n\
                 [[route]]\npath = \"/payments\"\nscope = {{ header = \"x-account\" }}\n\
                 require_key = true\nlease = \"1s\"\nstore_timeout = \"2s\"\n{policies}\n",
                upstream.address, redis.address
            );
            std::fs::write(&config, text).unwrap();
            let program = env!("CARGO_BIN_EXE_tower-idempotency-gateway").into();
            Process::start(address, program, vec!["--config".to_owned(), config])
        });
        let gateways = gateways.collect();
        Self { folder, gateways, upstream, redis }
    }

    pub(crate) fn gateway(&self, number: usize) -> SocketAddr {
        self.gateways[number].address
    }

    /// Kills a gateway (0), the upstream (1) or Redis (2), and starts it again.
    pub(crate) async fn kill(&self, victim: usize, gateway: usize) {
        let victim = match victim {
            0 => &self.gateways[gateway],
            1 => &self.upstream,
            _ => &self.redis,
        };
        victim.kill_and_start().await;
    }

    /// The lines of the upstream.
    pub(crate) fn ledger(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("ledger")).unwrap()
    }
}

impl Process {
    fn start(address: SocketAddr, program: PathBuf, arguments: Vec<String>) -> Self {
        let child = Mutex::new(spawn(&program, &arguments));
        Self { address, program, arguments, child }
    }

    async fn kill_and_start(&self) {
        let mut child = self.child.lock().await;
        child.kill().unwrap();
        child.wait().unwrap();
        tokio::time::sleep(AWAY).await;
        *child = spawn(&self.program, &self.arguments);
        // The next kill is of a process that works.
        while TcpStream::connect(self.address).await.is_err() {
            assert!(child.try_wait().unwrap().is_none(), "{} ended", self.program.display());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let child = self.child.get_mut();
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Starts a program, and waits until it says that it listens.
fn spawn(program: &PathBuf, arguments: &[String]) -> Child {
    let mut child =
        Command::new(program).args(arguments).stdout(Stdio::piped()).spawn().unwrap_or_else(
            |error| panic!("{}: {error}; scripts/servers installs it", program.display()),
        );
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next();
    assert!(first.is_some(), "{} does not start", program.display());
    std::thread::spawn(move || lines.for_each(drop));
    child
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A program of `examples`, which cargo builds with the tests.
fn example(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let target = own.ancestors().nth(2).unwrap();
    let path = target.join("examples").join(name);
    assert!(path.exists(), "{} is missing: cargo build --examples", path.display());
    path
}
