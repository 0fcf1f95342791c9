//! A pooler that hands out connections by transaction.

use std::process::{Child, Command};

use tempfile::TempDir;

use super::process::{as_server, program, spawn};
use super::{PostgresServer, free_port, write};

/// A pooler in front of a server until it is dropped.
pub(crate) struct PgBouncer {
    child: Child,
    port: u16,
    _directory: TempDir,
}

impl PgBouncer {
    /// Leads to the server by a few connections. Each may carry any transaction.
    pub(crate) fn before(server: &PostgresServer) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for _ in 0..5 {
            let port = free_port();
            let settings = format!(
                "[databases]\n\
                 postgres = host=127.0.0.1 port={} user=postgres\n\
                 [pgbouncer]\n\
                 listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
                 auth_type = any\npool_mode = transaction\ndefault_pool_size = 4\nmax_client_conn = 200\n\
                 ignore_startup_parameters = extra_float_digits\n",
                server.port()
            );
            let settings = write(directory.path(), "pgbouncer.ini", &settings);
            let mut command = Command::new(program("pgbouncer"));
            command.arg(settings);
            as_server(&mut command, Some(directory.path()));
            if let Some(child) = spawn(command, "process up") {
                return Self { child, port, _directory: directory };
            }
        }
        panic!("pgbouncer did not start on any of five free ports");
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}
