//! The example as a process, which is killed in mid-operation and started again.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::support::patiently;
use crate::support::sandbox::{Sandbox, example, order_with};
use crate::support::wire::{State, Way, Wire};

/// The client as a process, which ends with the test.
struct Client {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
}

/// A directory for keys, and what the client is to send.
struct Job {
    directory: TempDir,
    order: Value,
}

impl Job {
    fn new(knobs: Value) -> Self {
        Self { directory: tempfile::tempdir().unwrap(), order: order_with(knobs) }
    }

    fn keys(&self) -> PathBuf {
        self.directory.path().join("keys")
    }

    fn start(&self, port: u16) -> Client {
        let mut child = Command::new(example("client"))
            .args(["order-1001", "1200", &self.order.to_string()])
            .env("KEYS", self.keys())
            .env("PAYMENTS_URL", format!("http://127.0.0.1:{port}/payments"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        Client { child, said }
    }
}

impl Client {
    async fn line(&mut self) -> String {
        patiently(self.said.next_line()).await.unwrap().expect("the client ended without a word")
    }

    async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    async fn ended(&mut self) -> ExitStatus {
        patiently(self.child.wait()).await.unwrap()
    }

    /// Runs to its end, and is successful.
    async fn assert_pays(&mut self) {
        assert!(self.line().await.starts_with("201 Created {"));
        assert_eq!(self.ended().await.code(), Some(0));
    }
}

/// Starts the job again, which goes on with its operation, pays once, and lets go of its key.
async fn assert_resumes(job: &Job, port: u16, sandbox: &Sandbox) {
    let mut again = job.start(port);
    assert_eq!(again.line().await, "resuming order-1001");
    again.assert_pays().await;
    assert_eq!(sandbox.effects().await.len(), 1);
    assert_eq!(kept(&job.keys()), 0);
}

fn kept(keys: &Path) -> usize {
    let names = std::fs::read_dir(keys).unwrap().map(|file| file.unwrap().file_name());
    names.filter(|name| name != "lock").count()
}

#[tokio::test]
async fn killed_before_the_effect_it_goes_on_with_the_same_operation() {
    let sandbox = Sandbox::start(&[]).await;
    let wire = Wire::start(sandbox.address().port()).await;
    let job = Job::new(json!({ "delay_ms": 1500 }));
    let mut client = job.start(wire.port());
    assert_eq!(client.line().await, "paying order-1001");
    wire.reached(|seen| seen.requests > 0).await;
    client.kill().await;
    assert_eq!(sandbox.effects().await, [] as [Value; 0]);
    assert_eq!(kept(&job.keys()), 1);

    assert_resumes(&job, wire.port(), &sandbox).await;
}

#[tokio::test]
async fn killed_after_the_effect_and_before_the_answer_it_gets_the_answer_later() {
    let sandbox = Sandbox::start(&[]).await;
    let job = Job::new(json!({ "after_ms": 1500 }));
    let mut client = job.start(sandbox.address().port());
    let effect = sandbox.first_effect().await;
    client.kill().await;
    assert_eq!(kept(&job.keys()), 1);

    let mut again = job.start(sandbox.address().port());
    assert_eq!(again.line().await, "resuming order-1001");
    let answer = again.line().await;
    assert!(answer.contains(effect["id"].as_str().unwrap()), "{answer}");
    assert_eq!(again.ended().await.code(), Some(0));
    assert_eq!(sandbox.effects().await.len(), 1);
    assert_eq!(kept(&job.keys()), 0);
}

#[tokio::test]
async fn killed_when_the_answer_is_on_its_way_it_gets_it_again() {
    let sandbox = Sandbox::start(&[]).await;
    let wire = Wire::start(sandbox.address().port()).await;
    wire.set(State::Open { requests: Way::Pass, replies: Way::Hold });
    let job = Job::new(json!({}));
    let mut client = job.start(wire.port());
    wire.reached(|seen| seen.replies > 0).await;
    client.kill().await;
    wire.set(State::FINE);

    assert_resumes(&job, wire.port(), &sandbox).await;
}

#[tokio::test]
async fn killed_while_the_server_is_down_it_pays_when_it_is_up() {
    let sandbox = Sandbox::start(&[]).await;
    let wire = Wire::start(sandbox.address().port()).await;
    wire.set(State::Closed);
    let job = Job::new(json!({}));
    let mut client = job.start(wire.port());
    assert_eq!(client.line().await, "paying order-1001");
    client.kill().await;
    assert_eq!(kept(&job.keys()), 1);
    wire.set(State::FINE);

    assert_resumes(&job, wire.port(), &sandbox).await;

    // Finished is finished: the same name is a new operation then.
    let mut next = job.start(wire.port());
    assert_eq!(next.line().await, "paying order-1001");
    next.assert_pays().await;
    assert_eq!(sandbox.effects().await.len(), 2);
}

#[tokio::test]
async fn two_at_once_on_one_directory_do_it_once() {
    let sandbox = Sandbox::start(&[]).await;
    let wire = Wire::start(sandbox.address().port()).await;
    wire.set(State::Open { requests: Way::Pass, replies: Way::Hold });
    let job = Job::new(json!({}));
    let mut clients = [job.start(wire.port()), job.start(wire.port())];
    let mut first = Vec::new();
    for client in &mut clients {
        first.push(client.line().await);
    }
    first.sort();
    assert_eq!(first, ["paying order-1001", "resuming order-1001"]);
    wire.set(State::FINE);
    for client in &mut clients {
        client.assert_pays().await;
    }
    assert_eq!(sandbox.effects().await.len(), 1);
    assert_eq!(kept(&job.keys()), 0);
}
