//! The sandbox as a process, and a client to it; the other examples, too.

use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode, request};
use http_body_util::BodyExt;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Nothing here takes this long unless it never ends.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running sandbox, which ends with the test.
pub(crate) struct Sandbox {
    child: Child,
    address: SocketAddr,
    client: Client<HttpConnector, Body>,
    // Where the ledger is, unless the test brought one.
    directory: Option<TempDir>,
}

/// A response, read to its end.
#[derive(Debug, Clone)]
pub(crate) struct SandboxResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// The sandbox that was built together with this test.
pub(crate) fn program() -> PathBuf {
    example("sandbox")
}

/// An example that was built together with this test.
pub(crate) fn example(name: &str) -> PathBuf {
    let remedy = "run `cargo build --examples` with the same profile and features, or `cargo test` \
                  without `--test`, which builds the examples too";
    built(&format!("examples/{name}"), remedy)
}

/// The command line.
pub(crate) fn command_line() -> PathBuf {
    built("idempotency", "run `cargo build -p tower-idempotency-cli` with the same profile")
}

/// A program of the profile of this test.
fn built(name: &str, remedy: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let program = profile.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(program.exists(), "{} is missing: {remedy}", program.display());
    // `cargo test --test processes` leaves an old example as it is, and the tests would speak of
    // code that is gone.
    assert!(!is_stale(&program), "{} is older than its source: {remedy}", program.display());
    program
}

/// Whether a source that cargo noted for the program is newer than the program.
fn is_stale(program: &Path) -> bool {
    let changed = |path: &Path| path.metadata().and_then(|metadata| metadata.modified());
    let built = changed(program).unwrap();
    let noted = std::fs::read_to_string(program.with_extension("d")).unwrap_or_default();
    let sources = noted.replace("\\ ", "\0");
    sources
        .split_whitespace()
        .map(|source| source.replace('\0', " "))
        .any(|source| changed(Path::new(&source)).is_ok_and(|changed| changed > built))
}

pub(crate) fn order() -> Value {
    json!({ "amount": 1200, "currency": "EUR", "to": "acct_2" })
}

/// An order with knobs.
pub(crate) fn order_with(knobs: Value) -> Value {
    let mut order = order();
    order["sandbox"] = knobs;
    order
}

impl Sandbox {
    /// Starts a sandbox on a free port with a ledger file of its own.
    pub(crate) async fn start(flags: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut sandbox = Self::start_with(&directory.path().join("ledger"), flags).await;
        sandbox.directory = Some(directory);
        sandbox
    }

    /// Starts a sandbox that writes into this ledger.
    pub(crate) async fn start_with(ledger: &Path, flags: &[&str]) -> Self {
        Self::spawn(Command::new(program()).arg("--ledger").arg(ledger).args(flags)).await
    }

    /// Starts a sandbox that writes into this ledger, and what it has to say on stderr at the end
    /// of this file.
    pub(crate) async fn start_noting(ledger: &Path, notes: &Path, flags: &[&str]) -> Self {
        let flags = [&["--ledger", ledger.to_str().unwrap()], flags].concat();
        Self::start_at(0, notes, &flags).await.expect("the sandbox ended without output")
    }

    /// Starts a sandbox with its default ledger: in memory, or in the store.
    pub(crate) async fn start_without_ledger(flags: &[&str]) -> Self {
        Self::spawn(Command::new(program()).args(flags)).await
    }

    /// Starts a sandbox on this port, or on a free one if it is 0. Its stderr is appended to a
    /// file. `None` if it ended without output on stdout, as it does while a database is down.
    pub(crate) async fn start_at(port: u16, notes: &Path, flags: &[&str]) -> Option<Self> {
        let notes = OpenOptions::new().append(true).create(true).open(notes).unwrap();
        let listen = format!("--listen=127.0.0.1:{port}");
        Self::run(Command::new(program()).args(flags).arg(listen).stderr(notes)).await
    }

    async fn spawn(command: &mut Command) -> Self {
        let started = Self::run(command.arg("--listen=127.0.0.1:0")).await;
        started.expect("the sandbox ended without output")
    }

    /// Runs a server whose first word is where it listens. `None` if it ends without it.
    pub(crate) async fn run(command: &mut Command) -> Option<Self> {
        let mut child = command
            .env_remove("RUST_LOG")
            // Panics are part of the tests; where they come from is known.
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next_line().await.unwrap()?;
        let address = first.strip_prefix("listening on http://").expect(&first).parse().unwrap();
        Some(Self::around(child, address))
    }

    /// Another server, which listens there and ends with the test.
    pub(crate) fn around(child: Child, address: SocketAddr) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { child, address, client, directory: None }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The head of a request to this sandbox, to add to.
    pub(crate) fn request(&self, method: &str, path: &str) -> request::Builder {
        Request::builder().method(method).uri(format!("http://{}{path}", self.address))
    }

    /// The head of a JSON request.
    pub(crate) fn json(&self, path: &str) -> request::Builder {
        self.request("POST", path).header("content-type", "application/json")
    }

    /// Sends a request whose head was begun by [`Self::request`].
    pub(crate) async fn send(
        &self,
        head: request::Builder,
        body: impl Into<Body>,
    ) -> SandboxResponse {
        let request = head.body(body.into()).unwrap();
        let exchange = async {
            let (head, body) = self.client.request(request).await.unwrap().into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            SandboxResponse { status: head.status, headers: head.headers, body }
        };
        tokio::time::timeout(PATIENCE, exchange).await.expect("no response came")
    }

    /// Pays under a key.
    pub(crate) async fn pay(&self, key: &str, order: &Value) -> SandboxResponse {
        self.send(self.json("/payments").header("x-idempotency-key", key), order.to_string()).await
    }

    pub(crate) async fn get(&self, path: &str) -> SandboxResponse {
        self.send(self.request("GET", path), Body::empty()).await
    }

    /// Every effect so far.
    pub(crate) async fn effects(&self) -> Vec<Value> {
        let list = self.get("/payments").await.json();
        let payments = list["payments"].as_array().unwrap().clone();
        assert_eq!(list["count"], payments.len());
        payments
    }

    /// Waits until the ledger has a first line.
    pub(crate) async fn first_effect(&self) -> Value {
        let look = async {
            loop {
                if let Some(effect) = self.effects().await.pop() {
                    return effect;
                }
            }
        };
        tokio::time::timeout(PATIENCE, look).await.expect("nothing was done")
    }

    /// Sends a signal, by its name without SIG.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// The number of the process, for as long as it runs.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("the sandbox has ended")
    }

    /// Ends the process as a crash would, and waits until it is gone.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for the process to end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it does not end").unwrap()
    }
}

/// Sends a signal to a process that the test started.
pub(crate) fn signal(pid: u32, name: &str) {
    let status = std::process::Command::new("sh")
        .args(["-c", "kill -s \"$0\" \"$1\"", name, &pid.to_string()])
        .status();
    assert!(status.unwrap().success(), "SIG{name} could not be sent");
}

impl SandboxResponse {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn is_replay(&self) -> bool {
        self.header("x-idempotent-result") == Some("true")
    }

    /// Asserts that it is this rejection by the layer.
    #[track_caller]
    pub(crate) fn rejected(&self, status: u16, code: &str) {
        let body = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{body}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{body}");
        let problem = self.json();
        assert_eq!(problem["code"], code);
        assert_eq!(problem["status"], status);
        for member in ["type", "title", "detail"] {
            assert!(problem[member].is_string(), "{member} is missing: {body}");
        }
    }

    /// Asserts that it is a rejection which says that no retry will succeed.
    #[track_caller]
    pub(crate) fn rejected_for_good(&self, code: &str) {
        self.rejected(409, code);
        assert_eq!(self.header("x-should-retry"), Some("false"));
        assert_eq!(self.header("retry-after"), None);
    }

    /// Asserts that it says when to ask again.
    #[track_caller]
    pub(crate) fn rejected_for_now(&self, status: u16, code: &str) {
        self.rejected(status, code);
        let seconds: u64 = self.header("retry-after").expect("no Retry-After").parse().unwrap();
        assert!(seconds > 0);
        assert_eq!(self.header("x-should-retry"), None);
    }
}
