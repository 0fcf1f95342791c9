//! A private Redis server that speaks TLS only.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

use super::{program, ready};

/// A server that is ready from the moment it is made until it is dropped.
pub(crate) struct TlsServer {
    child: Child,
    port: u16,
    _directory: TempDir,
}

impl TlsServer {
    /// Starts a server on a free port, with this certificate and its key in PEM. `None` if the
    /// program of the server was built without TLS.
    pub(crate) fn start(certificate: &str, key: &str) -> Option<Self> {
        let program = program().unwrap_or("redis-server".as_ref());
        if !is_built_with_tls(Command::new(program)) {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let [certificate_file, key_file] =
            ["certificate", "key"].map(|name| directory.path().join(name));
        fs::write(&certificate_file, certificate).unwrap();
        fs::write(&key_file, key).unwrap();
        // Another process may take the port between the look and the start.
        for _ in 0..5 {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let port = free.local_addr().unwrap().port();
            drop(free);
            let mut command = Command::new(program);
            command.args(["--port", "0", "--tls-port", &port.to_string(), "--bind", "127.0.0.1"]);
            command.args(["--save", "", "--tls-auth-clients", "no"]);
            command.arg("--dir").arg(directory.path());
            command.arg("--tls-cert-file").arg(&certificate_file);
            command.arg("--tls-key-file").arg(&key_file);
            if let Some(child) = ready(command) {
                return Some(Self { child, port, _directory: directory });
            }
        }
        panic!("redis-server did not start on any of five free ports");
    }

    pub(crate) fn url(&self) -> String {
        format!("rediss://127.0.0.1:{}", self.port)
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        // It fails only if the server has ended already.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

/// A server without TLS ends because of the option, and one with TLS because it has no certificate.
fn is_built_with_tls(mut command: Command) -> bool {
    command.args(["--port", "0", "--tls-port", "1"]).stdin(Stdio::null());
    let Output { stdout, .. } = command.output().unwrap_or_else(|error| {
        panic!(
            "this test starts a Redis server with TLS, and there is no `redis-server` in the PATH \
             ({error}): run `scripts/servers`"
        )
    });
    String::from_utf8_lossy(&stdout).contains("tls-cert-file")
}
