//! The gateway as a process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use super::raw::{Raw, in_time};

/// The route of operations that are guarded.
pub(super) const PAYMENTS: &str =
    "[[route]]\npath = \"/payments/{*rest}\"\nscope = \"everyone\"\nrequire_key = true\n";

/// A gateway that runs until this is dropped.
pub(super) struct Gateway {
    child: Child,
    folder: TempDir,
    pub(super) address: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Gateway {
    /// One that guards the payments.
    pub(super) async fn before(upstream: SocketAddr) -> Self {
        Self::with(upstream, "", PAYMENTS).await
    }

    /// One whose file has these lines at its beginning, and these at its end.
    pub(super) async fn with(upstream: SocketAddr, top: &str, end: &str) -> Self {
        Self::start(&file(&format!("\"http://{upstream}\""), top, end)).await
    }

    /// One with this file.
    pub(super) async fn start(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("gateway.toml"), text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tower-idempotency-gateway"));
        command.arg("--config").arg(folder.path().join("gateway.toml"));
        command.env_remove("RUST_LOG").kill_on_drop(true);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (from, to) = (child.stderr.take().unwrap(), Arc::clone(&log));
        tokio::spawn(async move {
            let mut lines = BufReader::new(from).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                to.lock().unwrap().extend([line.as_str(), "\n"]);
            }
        });
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        in_time("the gateway listens", said.read_line(&mut line)).await.unwrap();
        let address = line.trim_end().strip_prefix("listening on http://");
        let Some(address) = address else {
            panic!("the gateway does not start: {line}{}", log.lock().unwrap())
        };
        let address = address.parse().unwrap();
        tokio::spawn(async move { said.read_to_end(&mut Vec::new()).await });
        Self { child, folder, address, log }
    }

    pub(super) async fn connect(&self) -> Raw {
        Raw::connect(self.address).await
    }

    pub(super) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until the log has a text this often.
    pub(super) async fn has_logged(&self, text: &str, times: usize) {
        until(text, || self.log().matches(text).count() >= times).await;
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("gateway.toml")
    }

    /// Replaces the file. A reader sees the old one or the new one.
    pub(super) fn write(&self, text: &str) {
        let new = self.folder.path().join("gateway.toml.new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.file()).unwrap();
    }

    /// Sends a signal such as `HUP`.
    pub(super) fn signal(&self, name: &str) {
        let id = self.child.id().unwrap().to_string();
        let sent = std::process::Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.unwrap().success(), "kill -s {name}");
    }

    /// Waits for its end.
    pub(super) async fn end(&mut self) -> bool {
        in_time("the gateway ends", self.child.wait()).await.unwrap().success()
    }

    /// Memory in KiB, by its name in `/proc`: `VmHWM` is the most that there was, `VmRSS` what is now.
    pub(super) fn memory(&self, name: &str) -> usize {
        let file = format!("/proc/{}/status", self.child.id().unwrap());
        let status = std::fs::read_to_string(file).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(&format!("{name}:"))).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

/// A file with an upstream as TOML.
pub(super) fn file(upstream: &str, top: &str, end: &str) -> String {
    format!(
        "listen = \"127.0.0.1:0\"\nupstream = {upstream}\nstore = \"memory\"\n\
         secret = \"{}\"\n{top}\n{end}",
        "07".repeat(32)
    )
}

/// Waits for something that can only be asked for.
pub(super) async fn until(what: &str, is_so: impl Fn() -> bool) {
    in_time(what, async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
