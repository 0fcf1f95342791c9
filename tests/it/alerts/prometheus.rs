//! A private Prometheus with the rules of `ops`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::support::patiently;
use crate::support::sandbox::Sandbox;

const MISSING: &str = "these tests need `prometheus` and `promtool` in the PATH: run \
                       `scripts/servers`, which installs them";

/// How often the test asks. Prometheus tells nobody when it has evaluated its rules.
const PAUSE: Duration = Duration::from_millis(100);

/// The folder with the rules and the dashboard.
pub(crate) fn ops() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ops")
}

/// A command of `promtool`, in the folder with the rules.
pub(crate) fn promtool(arguments: &[&str]) -> (bool, String) {
    let mut command = std::process::Command::new("promtool");
    let output = command.args(arguments).current_dir(ops()).output();
    let output = output.unwrap_or_else(|error| panic!("{error}: {MISSING}"));
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// A server that scrapes services each second, and ends with the test.
pub(crate) struct Prometheus {
    server: Sandbox,
    _directory: TempDir,
}

impl Prometheus {
    /// Starts a server on a free port, and returns when it has scraped every service.
    pub(crate) async fn watching(services: &[&Sandbox]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let configuration = directory.path().join("prometheus.yml");
        fs::write(&configuration, configured(services)).unwrap();
        let mut child = Command::new("prometheus")
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{error}: {MISSING}"));
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut log = String::new();
        let listens = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some(address) = listens_on(&line) {
                    return address;
                }
                writeln!(log, "{line}").unwrap();
            }
            panic!("Prometheus ended:\n{log}");
        };
        let address = patiently(listens).await;
        // A pipe that is not emptied would stop the server when it is full.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let watching = Self { server: Sandbox::around(child, address), _directory: directory };
        let scraped = async {
            while watching.values("idempotency_in_flight").await.len() < services.len() {
                sleep(PAUSE).await;
            }
        };
        patiently(scraped).await;
        watching
    }

    /// The series that a query finds, with their labels and values.
    pub(crate) async fn values(&self, query: &str) -> Vec<Value> {
        let query: String = query
            .bytes()
            .map(|byte| match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
                byte => format!("%{byte:02X}"),
            })
            .collect();
        let response = self.server.get(&format!("/api/v1/query?query={query}")).await;
        // It is not ready yet.
        if response.status == 503 {
            return Vec::new();
        }
        let result = response.json();
        assert_eq!(result["status"], "success", "{result}");
        result["data"]["result"].as_array().unwrap().clone()
    }

    /// The alerts that fire, each with the service that it is about: `IdempotencyServiceGone
    /// 127.0.0.1:3000`, or its name alone if it is about all of them.
    pub(crate) async fn firing(&self) -> BTreeSet<String> {
        let alerts = self.server.get("/api/v1/alerts").await.json();
        let alerts = alerts["data"]["alerts"].as_array().unwrap().clone();
        let firing = alerts.into_iter().filter(|alert| alert["state"] == "firing");
        let named = firing.map(|alert| {
            let label = |name: &str| alert["labels"][name].as_str().unwrap_or_default().to_owned();
            format!("{} {}", label("alertname"), label("instance")).trim_end().to_owned()
        });
        named.collect()
    }

    /// Waits until all these alerts fire, but not longer than this.
    pub(crate) async fn fires(&self, alerts: &[&str], within: Duration) {
        let began = Instant::now();
        let wanted: BTreeSet<_> = alerts.iter().map(|&alert| alert.to_owned()).collect();
        let fire = async {
            while !wanted.is_subset(&self.firing().await) {
                sleep(PAUSE).await;
            }
        };
        if tokio::time::timeout(within, fire).await.is_err() {
            let firing = self.firing().await;
            panic!("{wanted:?} should fire within {within:?}, and what fires is {firing:?}");
        }
        println!("{wanted:?} after {:.1?}, at most {within:?}", began.elapsed());
    }

    /// Waits until the rules have been evaluated twice from now on, and asserts that none fires.
    pub(crate) async fn stays_silent(&self) {
        let evaluated = async {
            for _ in 0..2 {
                let before = self.evaluated().await;
                while self.evaluated().await == before {
                    sleep(PAUSE).await;
                }
            }
        };
        patiently(evaluated).await;
        assert_eq!(self.firing().await, BTreeSet::new(), "nothing has happened yet");
    }

    /// When the rules were evaluated last.
    async fn evaluated(&self) -> Value {
        let rules = self.server.get("/api/v1/rules").await.json();
        rules["data"]["groups"][0]["lastEvaluation"].clone()
    }
}

/// As `alerts.yml` asks, but for the interval of scrapes.
fn configured(services: &[&Sandbox]) -> String {
    let targets: Vec<_> = services.iter().map(|service| service.address().to_string()).collect();
    format!(
        "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 5s }}\n\
         rule_files: ['{}']\n\
         scrape_configs:\n\
         - job_name: payments\n  static_configs: [{{ targets: {targets:?} }}]\n",
        ops().join("alerts.yml").display(),
    )
}

/// The address in the line of the log that names it.
fn listens_on(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("Listening on")?;
    rest.split_once("address=")?.1.split_whitespace().next()?.parse().ok()
}
