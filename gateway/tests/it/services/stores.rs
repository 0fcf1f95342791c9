//! The servers with the records.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::process::{Process, free_port, local};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Redis,
    Postgres,
}

/// A server that has written down a record before the gateway goes on.
pub(super) struct Store {
    pub(super) kind: Kind,
    port: u16,
    folder: TempDir,
    process: Process,
}

impl Store {
    pub(super) fn start(kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        if kind == Kind::Postgres {
            make_database(folder.path());
        }
        let port = free_port();
        let process = run(kind, port, folder.path());
        Self { kind, port, folder, process }
    }

    pub(super) fn url(&self) -> String {
        match self.kind {
            Kind::Redis => format!("redis://127.0.0.1:{}", self.port),
            Kind::Postgres => {
                format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
            }
        }
    }

    pub(super) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again, with all that it had written down.
    pub(super) fn start_again(&mut self) {
        self.process = run(self.kind, self.port, self.folder.path());
    }

    /// The files that it writes.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let is_folder = entry.file_type().unwrap().is_dir();
                if is_folder { &mut folders } else { &mut files }.push(entry.path());
            }
        }
        files
    }
}

fn run(kind: Kind, port: u16, folder: &Path) -> Process {
    let log = folder.join("log");
    // An earlier life of the server has written to it too.
    let old = std::fs::read_to_string(&log).unwrap_or_default().len();
    let port_text = port.to_string();
    let (mut command, ready) = match kind {
        Kind::Redis => {
            let mut command = Command::new(program("redis-server"));
            command.args(["--port", &port_text, "--bind", "127.0.0.1", "--save", ""]);
            command.args(["--appendonly", "yes", "--appendfsync", "always"]);
            command.arg("--dir").arg(folder);
            (command, "Ready to accept connections")
        }
        Kind::Postgres => {
            let mut command = as_postgres(&program("postgres"));
            command.arg("-D").arg(folder.join("data")).args(["-p", &port_text]);
            command.args(["-h", "127.0.0.1", "-k", "", "-c", "log_statement=all"]);
            (command, "ready to accept connections")
        }
    };
    let mut process = Process::start(&format!("{kind:?}"), &mut command, &log);
    process.ready(|log| {
        (log[old..].contains(ready) && TcpStream::connect(local(port)).is_ok()).then_some(())
    });
    process
}

fn make_database(folder: &Path) {
    let made = Command::new("chown").arg("postgres").arg(folder).status();
    let is_root = made.is_ok_and(|status| status.success());
    let mut command =
        if is_root { as_postgres(&program("initdb")) } else { Command::new(program("initdb")) };
    command.arg("-D").arg(folder.join("data"));
    let output = command.args(["-U", "postgres", "--auth", "trust", "--no-sync"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// PostgreSQL does not run as root.
fn as_postgres(program: &Path) -> Command {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]).arg(program);
    command
}

/// A program in the PATH, or where Debian has those of PostgreSQL.
fn program(name: &str) -> PathBuf {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = std::env::split_paths(&paths).collect();
    let debian = std::fs::read_dir("/usr/lib/postgresql");
    folders.extend(debian.into_iter().flatten().map(|entry| entry.unwrap().path().join("bin")));
    let mut programs = folders.into_iter().map(|folder| folder.join(name));
    programs
        .find(|program| program.is_file())
        .unwrap_or_else(|| panic!("there is no `{name}`: run `scripts/servers`"))
}
