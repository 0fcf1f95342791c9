//! A service, a store, and gateways between them and the clients.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::process::{Process, free_port, local, until};
use super::stores::{Kind, Store};
use super::wire::{Answer, Call, get};

/// One of the services.
#[derive(Debug, Clone, Copy)]
pub(super) struct Service {
    pub(super) name: &'static str,
    pub(super) store: Kind,
}

/// A service with its store.
pub(super) struct Site {
    name: &'static str,
    port: u16,
    folder: TempDir,
    upstream: RefCell<Process>,
    pub(super) store: RefCell<Store>,
}

/// What every gateway of these tests has. The lease is short, so that no test waits long for it.
const DEFAULTS: &str = r#"
[defaults]
lease = "1s"
store_timeout = "1s"
max_request = "64KiB"
max_response = "64KiB"
"#;

impl Site {
    pub(super) fn start(service: Service) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let upstream = run(service.name, port, folder.path());
        let store = Store::start(service.store);
        let (upstream, store) = (RefCell::new(upstream), RefCell::new(store));
        Self { name: service.name, port, folder, upstream, store }
    }

    /// A gateway whose routes have these lines besides.
    pub(super) fn gateway(&self, lines: &str) -> Gateway {
        self.gateway_with("", lines)
    }

    /// A gateway whose file has these lines at its beginning, and its routes the others.
    pub(super) fn gateway_with(&self, top: &str, lines: &str) -> Gateway {
        self.gateway_before(self.upstream(), top, lines)
    }

    /// A gateway before another upstream.
    pub(super) fn gateway_before(&self, upstream: SocketAddr, top: &str, lines: &str) -> Gateway {
        let store = format!("store = \"{}\"", self.store.borrow().url());
        let text = format!("{store}\n{top}\n{DEFAULTS}\n{}", routes(lines));
        Gateway::start(self.folder.path(), upstream, &text)
    }

    fn ledger(&self) -> PathBuf {
        self.folder.path().join("ledger")
    }

    /// The attempts under a key that had an effect, in their order.
    pub(super) fn effects(&self, key: &str) -> Vec<u64> {
        attempts(&self.ledger(), key)
    }

    /// The attempts under a key that reached the service.
    pub(super) fn arrivals(&self, key: &str) -> Vec<u64> {
        attempts(&self.folder.path().join("ledger.arrivals"), key)
    }

    /// All effects so far.
    pub(super) fn count(&self) -> usize {
        std::fs::read_to_string(self.ledger()).unwrap_or_default().lines().count()
    }

    /// Waits until this many attempts have reached the service.
    pub(super) fn has_arrived(&self, key: &str, count: usize) {
        until("a request reaches the service", || {
            (self.arrivals(key).len() >= count).then_some(())
        });
    }

    /// Waits until this many attempts have had their effect.
    pub(super) fn has_effect(&self, key: &str, count: usize) {
        until("a payment is made", || (self.effects(key).len() >= count).then_some(()));
    }

    /// Lets go of the payments under a key that are held.
    pub(super) fn open(&self, key: &str) {
        std::fs::write(self.folder.path().join(format!("ledger.{key}")), "").unwrap();
    }

    /// Holds the next ones again.
    pub(super) fn close(&self, key: &str) {
        std::fs::remove_file(self.folder.path().join(format!("ledger.{key}"))).unwrap();
    }

    /// Replaces the store by an empty one.
    pub(super) fn renew_store(&self) {
        let kind = self.store.borrow().kind;
        *self.store.borrow_mut() = Store::start(kind);
    }

    pub(super) fn kill_upstream(&self) {
        self.upstream.borrow_mut().kill();
    }

    /// Starts the service again on its port.
    pub(super) fn start_upstream_again(&self) {
        self.upstream.borrow_mut().kill();
        *self.upstream.borrow_mut() = run(self.name, self.port, self.folder.path());
    }

    /// Starts everything again after a case that may have left it killed.
    pub(super) fn mend(&self) {
        self.start_upstream_again();
        self.store.borrow_mut().kill();
        self.store.borrow_mut().start_again();
    }

    pub(super) fn upstream(&self) -> SocketAddr {
        local(self.port)
    }
}

/// The lines of the routes. Each request of the tests has one.
pub(super) fn routes(lines: &str) -> String {
    let scope = if lines.contains("scope") { "" } else { "scope = { header = \"authorization\" }" };
    let paths = "path = [\"/payments/{*rest}\", \"/echo\"]";
    format!("[[route]]\n{paths}\n{scope}\n{lines}\n")
}

/// A gateway, until it is dropped.
pub(super) struct Gateway {
    process: Process,
    pub(super) address: SocketAddr,
    pub(super) operators: SocketAddr,
}

impl Gateway {
    pub(super) fn start(folder: &Path, upstream: SocketAddr, text: &str) -> Self {
        let folder = tempfile::tempdir_in(folder).unwrap().keep();
        let file = folder.join("gateway.toml");
        let own = format!(
            "listen = \"127.0.0.1:0\"\nupstream = \"http://{upstream}\"\noperators = {{ listen = \
             \"127.0.0.1:0\" }}\nlog = {{ level = \"debug\" }}\n{text}"
        );
        std::fs::write(&file, own).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tower-idempotency-gateway"));
        command.arg("--config").arg(&file).env_remove("RUST_LOG");
        let mut process = Process::start("the gateway", &mut command, &folder.join("log"));
        let address = process.ready(|log| said(log, "listening on http://"));
        let operators = process.ready(|log| said(log, "operators on http://"));
        let gateway = Self { process, address, operators };
        // With PostgreSQL it makes its table first.
        let is_ready = || get("/readyz").send(gateway.operators).status == 200;
        until("the gateway is ready", || is_ready().then_some(()));
        gateway
    }

    pub(super) fn send(&self, call: &Call) -> Answer {
        call.send(self.address)
    }

    /// Sends a request again until something else comes than "in flight", "no store" or "no
    /// service", as a client does.
    pub(super) fn settle(&self, call: &Call) -> Answer {
        let passing =
            ["idempotency_key_in_flight", "idempotency_store_unavailable", "upstream_unreachable"];
        until("the key has a definitive response", || {
            let answer = self.send(call);
            let is_passing = answer.code().is_some_and(|code| passing.contains(&code.as_str()));
            (!is_passing).then_some(answer)
        })
    }

    pub(super) fn kill(&mut self) {
        self.process.kill();
    }

    pub(super) fn log(&self) -> String {
        self.process.log()
    }

    pub(super) fn metrics(&self) -> String {
        String::from_utf8(get("/metrics").send(self.operators).body).unwrap()
    }
}

fn said(log: &str, beginning: &str) -> Option<SocketAddr> {
    log.lines().find_map(|line| line.strip_prefix(beginning)?.parse().ok())
}

fn run(name: &str, port: u16, folder: &Path) -> Process {
    let services = Path::new(env!("CARGO_MANIFEST_DIR")).join("services");
    let program = Path::new(env!("CARGO_BIN_EXE_tower-idempotency-gateway"));
    let installed = program.ancestors().map(|folder| folder.join("services"));
    let installed = installed
        .into_iter()
        .find(|folder| folder.join("python").is_dir())
        .expect("the services are not installed: run `gateway/services/install`");
    let mut command = Command::new(services.join("run"));
    command.arg(name).arg(port.to_string()).arg(folder.join("ledger"));
    command.env("SERVICES", installed);
    let mut process = Process::start(name, &mut command, &folder.join("service.log"));
    process.ready(|_| {
        let answer = get("/healthz").try_to_begin(local(port)).ok()?.answer()?;
        (answer.status == 200).then_some(())
    });
    process
}

fn attempts(file: &Path, key: &str) -> Vec<u64> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    // The last line may not be whole yet.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let lines = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let own = lines.filter(|line| line["key"] == key);
    own.map(|line| line["attempt"].as_u64().unwrap()).collect()
}
