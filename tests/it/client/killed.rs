//! The example as a process, which is killed in mid-operation and started again.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::{Canned, Turn};
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

    /// The names of the outcomes that were written down.
    fn outcomes(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.keys()).unwrap().map(|file| file.unwrap().file_name());
        let names = names.map(|name| name.into_string().unwrap());
        names.filter(|name| name.starts_with("order")).collect()
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
        patiently(self.said.next_line()).await.unwrap().expect("the client ended without output")
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
        assert!(self.line().await.ends_with("order-1001.paid"));
        assert_eq!(self.ended().await.code(), Some(0));
    }

    /// Sends nothing, and gives the outcome that was written down.
    async fn assert_knows(&mut self, response: &str, code: i32) {
        assert_eq!(self.line().await, response);
        assert_eq!(self.ended().await.code(), Some(code));
    }
}

/// Starts the job again, which goes on with its operation, pays once, and lets go of its key.
async fn assert_resumes(job: &Job, port: u16, sandbox: &Sandbox) {
    let mut again = job.start(port);
    assert_eq!(again.line().await, "resuming order-1001");
    again.assert_pays().await;
    assert_eq!(sandbox.effects().await.len(), 1);
    assert_eq!(stored_keys(&job.keys()), 0);
}

fn stored_keys(keys: &Path) -> usize {
    let names = std::fs::read_dir(keys).unwrap().map(|file| file.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().ends_with(".key.json")).count()
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
    assert_eq!(stored_keys(&job.keys()), 1);

    assert_resumes(&job, wire.port(), &sandbox).await;
}

#[tokio::test]
async fn killed_after_the_effect_and_before_the_response_it_gets_the_response_later() {
    let sandbox = Sandbox::start(&[]).await;
    let job = Job::new(json!({ "after_ms": 1500 }));
    let mut client = job.start(sandbox.address().port());
    let effect = sandbox.first_effect().await;
    client.kill().await;
    assert_eq!(stored_keys(&job.keys()), 1);

    let mut again = job.start(sandbox.address().port());
    assert_eq!(again.line().await, "resuming order-1001");
    let response = again.line().await;
    assert!(response.contains(effect["id"].as_str().unwrap()), "{response}");
    assert_eq!(again.ended().await.code(), Some(0));
    assert_eq!(sandbox.effects().await.len(), 1);
    assert_eq!(stored_keys(&job.keys()), 0);
}

#[tokio::test]
async fn killed_when_the_response_is_on_its_way_it_gets_it_again() {
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
    assert_eq!(stored_keys(&job.keys()), 1);
    wire.set(State::FINE);

    assert_resumes(&job, wire.port(), &sandbox).await;
}

#[tokio::test]
async fn run_again_after_its_end_it_gives_the_same_outcome_and_pays_nothing() {
    let sandbox = Sandbox::start(&[]).await;
    let wire = Wire::start(sandbox.address().port()).await;
    let job = Job::new(json!({}));
    let mut client = job.start(wire.port());
    assert_eq!(client.line().await, "paying order-1001");
    let response = client.line().await;
    client.line().await;
    assert_eq!(client.ended().await.code(), Some(0));
    let sent = wire.seen().requests;

    job.start(wire.port()).assert_knows(&response, 0).await;
    assert_eq!((wire.seen().requests, sandbox.effects().await.len()), (sent, 1));
    assert_eq!(stored_keys(&job.keys()), 0);
}

#[tokio::test]
async fn killed_before_it_has_written_the_response_down_it_gets_it_again() {
    let sandbox = Sandbox::start(&[]).await;
    // A response that no pipe takes whole: the client waits for a reader, and writes nothing down.
    let mut job = Job::new(json!({ "bytes": 500_000 }));
    let mut client = job.start(sandbox.address().port());
    assert_eq!(client.line().await, "paying order-1001");
    let mut printed = client.said.into_inner();
    let mut start = [0; 11];
    patiently(printed.read_exact(&mut start)).await.unwrap();
    assert_eq!(&start, b"201 Created");
    client.child.kill().await.unwrap();
    assert_eq!((stored_keys(&job.keys()), job.outcomes()), (1, vec![]));

    let port = sandbox.address().port();
    assert_resumes(&job, port, &sandbox).await;
    assert_eq!(job.outcomes(), ["order-1001.paid"]);
    // The order under the name is the one that was paid, whatever is asked for now.
    job.order = order_with(json!({}));
    let mut later = job.start(port);
    assert!(later.line().await.starts_with("201 Created {"));
    assert_eq!(later.ended().await.code(), Some(0));
    assert_eq!(sandbox.effects().await.len(), 1);
}

#[tokio::test]
async fn killed_before_it_has_dropped_the_key_it_knows_the_outcome_and_drops_it() {
    let sandbox = Sandbox::start(&[]).await;
    let wire = Wire::start(sandbox.address().port()).await;
    wire.set(State::Open { requests: Way::Pass, replies: Way::Hold });
    let job = Job::new(json!({}));
    let mut client = job.start(wire.port());
    assert_eq!(client.line().await, "paying order-1001");
    wire.reached(|seen| seen.replies > 0).await;
    // While this process has the lock, no key is dropped.
    let lock = std::fs::OpenOptions::new().write(true).open(job.keys().join("lock")).unwrap();
    lock.lock().unwrap();
    wire.set(State::FINE);
    let response = client.line().await;
    assert!(client.line().await.ends_with("order-1001.paid"));
    client.kill().await;
    drop(lock);
    assert_eq!((stored_keys(&job.keys()), job.outcomes()), (1, vec!["order-1001.paid".to_owned()]));
    let sent = wire.seen().requests;

    job.start(wire.port()).assert_knows(&response, 0).await;
    assert_eq!((wire.seen().requests, sandbox.effects().await.len()), (sent, 1));
    assert_eq!(stored_keys(&job.keys()), 0);
}

#[tokio::test]
async fn a_rejection_is_written_down_too_when_it_is_certain() {
    let rejected = Turn::response(402, &[], "no money");
    let lost_first = [Turn::Fail, Turn::Fail, Turn::Fail, rejected.clone()];
    // The same from a load balancer, after a payment whose response was lost, says nothing.
    for (turns, code, outcomes) in
        [(&[rejected][..], 3, vec!["order-1001.rejected"]), (&lost_first, 1, vec![])]
    {
        let canned = Canned::turns(turns.to_vec());
        let (server, _) = canned.serve().await;
        let (job, port) = (Job::new(json!({})), server.address().port());
        let mut client = job.start(port);
        assert_eq!(client.line().await, "paying order-1001");
        let response = client.line().await;
        assert_eq!(response, "402 Payment Required no money");
        assert_eq!(client.ended().await.code(), Some(code));
        assert_eq!(
            (job.outcomes(), stored_keys(&job.keys())),
            (owned(&outcomes), usize::from(code == 1))
        );
        if code == 3 {
            job.start(port).assert_knows(&response, 3).await;
            assert_eq!(canned.count(), turns.len());
        } else {
            let mut again = job.start(port);
            assert_eq!(again.line().await, "resuming order-1001");
            assert_eq!(again.line().await, "201 Created done");
            assert_eq!(again.ended().await.code(), Some(0));
        }
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn an_order_whose_response_was_not_stored_ends_as_that_response_said() {
    let headers = [("content-type", "application/problem+json"), ("x-should-retry", "false")];
    let cases = [
        (json!(201), 0, vec!["order-1001.paid"]),
        (json!(404), 3, vec!["order-1001.rejected"]),
        (json!(null), 1, vec![]),
    ];
    for (original, code, outcomes) in cases {
        let problem =
            json!({ "code": "idempotency_result_not_retained", "original_status": original });
        let canned =
            Canned::turns([Turn::Fail, Turn::response(409, &headers, &problem.to_string())]);
        let (server, _) = canned.serve().await;
        let job = Job::new(json!({}));
        assert_eq!(
            job.start(server.address().port()).ended().await.code(),
            Some(code),
            "{original}"
        );
        assert_eq!(job.outcomes(), owned(&outcomes));
    }
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
    assert_eq!(stored_keys(&job.keys()), 0);
}
