//! The faults: each is injected and undone as planned, and both moments are noted.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::audit::Span;
use super::clients::{Sandboxes, now};
use super::plan::{Fault, Planned};
use super::stage::Stage;
use crate::support::sandbox::Sandbox;
use crate::support::wire::State;

/// A fault that happened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Injected {
    pub(super) fault: Fault,
    pub(super) span: Span,
}

/// What every sandbox is started with.
#[derive(Clone)]
pub(super) struct Starter {
    pub(super) urls: Vec<String>,
    pub(super) flags: Vec<String>,
    pub(super) ledger: PathBuf,
    pub(super) notes: PathBuf,
}

/// How long a store may delay the start of a sandbox.
const START: Duration = Duration::from_secs(30);

impl Starter {
    /// Starts a sandbox; again and again while its store is down, if it does not start without one.
    pub(super) async fn start(&self, sandbox: usize) -> Sandbox {
        let mut flags =
            vec!["--store", &self.urls[sandbox], "--ledger", self.ledger.to_str().unwrap()];
        flags.extend(self.flags.iter().map(String::as_str));
        let start = Instant::now();
        loop {
            if let Some(started) = Sandbox::start_at(0, &self.notes, &flags).await {
                return started;
            }
            assert!(
                start.elapsed() < START,
                "sandbox {sandbox} does not start: see {}",
                self.notes.display()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The processes, and the addresses under which clients find them.
pub(super) struct Processes {
    pub(super) starter: Starter,
    pub(super) running: Vec<Sandbox>,
    pub(super) known_as: Arc<Sandboxes>,
    /// What the processes did that they should not.
    pub(super) problems: Vec<String>,
}

/// How long a process may take to end when it is asked to.
const DRAIN: Duration = Duration::from_secs(15);

impl Processes {
    pub(super) async fn suffer(&mut self, planned: &[Planned], over: &AtomicBool) -> Vec<Injected> {
        let mut injected = Vec::new();
        for Planned { pause, lasts, fault } in planned {
            tokio::time::sleep(*pause).await;
            if over.load(Ordering::Relaxed) {
                break;
            }
            let from = now();
            match *fault {
                Fault::Kill(sandbox) => {
                    self.expect_running(sandbox);
                    self.running[sandbox].kill().await;
                    tokio::time::sleep(*lasts).await;
                    self.replace(sandbox).await;
                }
                Fault::Stop(sandbox) => {
                    self.expect_running(sandbox);
                    self.running[sandbox].signal("STOP");
                    tokio::time::sleep(*lasts).await;
                    self.running[sandbox].signal("CONT");
                }
                Fault::Drain(sandbox) => {
                    self.expect_running(sandbox);
                    self.drain(sandbox).await;
                    tokio::time::sleep(*lasts).await;
                    self.replace(sandbox).await;
                }
                Fault::Network(..) | Fault::Store(_) => unreachable!("not a fault of a process"),
            }
            injected.push(Injected { fault: *fault, span: Span { from, to: now() } });
        }
        injected
    }

    pub(super) fn expect_running(&mut self, sandbox: usize) {
        if !self.running[sandbox].runs() {
            self.problems.push(format!("sandbox {sandbox} ended by itself before {}", now()));
        }
    }

    async fn drain(&mut self, sandbox: usize) {
        let running = &mut self.running[sandbox];
        running.signal("TERM");
        match tokio::time::timeout(DRAIN, running.ended()).await {
            Ok(status) if status.code() == Some(0) => {}
            Ok(status) => {
                self.problems.push(format!("sandbox {sandbox} drained with {status} at {}", now()));
            }
            Err(_) => {
                running.kill().await;
                self.problems.push(format!(
                    "sandbox {sandbox} did not drain within {DRAIN:?}, at {}",
                    now()
                ));
            }
        }
    }

    async fn replace(&mut self, sandbox: usize) {
        self.running[sandbox] = self.starter.start(sandbox).await;
        self.known_as.moved(sandbox, self.running[sandbox].address());
    }
}

impl Stage {
    pub(super) async fn suffer(&mut self, planned: &[Planned], over: &AtomicBool) -> Vec<Injected> {
        let mut injected = Vec::new();
        for Planned { pause, lasts, fault } in planned {
            tokio::time::sleep(*pause).await;
            if over.load(Ordering::Relaxed) {
                break;
            }
            let from = now();
            match *fault {
                Fault::Network(sandbox, state) => {
                    self.set_network(sandbox, state);
                    tokio::time::sleep(*lasts).await;
                    self.set_network(sandbox, State::FINE);
                }
                // Servers are started and stopped by blocking calls.
                Fault::Store(fault) => {
                    tokio::task::block_in_place(|| self.inject(fault));
                    tokio::time::sleep(*lasts).await;
                    tokio::task::block_in_place(|| self.undo(fault));
                }
                Fault::Kill(_) | Fault::Stop(_) | Fault::Drain(_) => {
                    unreachable!("not a fault of the store")
                }
            }
            injected.push(Injected { fault: *fault, span: Span { from, to: now() } });
        }
        injected
    }
}

/// How late the test's own tasks may come before the machine is taken to be too busy for leases to
/// be renewed in time.
const LATE: Duration = Duration::from_millis(150);

/// Notes, until it is aborted, when the machine stalled: a stall cuts an attempt off as any fault
/// does.
pub(super) async fn watch(stalls: Arc<Mutex<Vec<Span>>>) {
    loop {
        let start = Instant::now();
        let from = now();
        tokio::time::sleep(Duration::from_millis(10)).await;
        if start.elapsed() > LATE {
            stalls.lock().unwrap().push(Span { from, to: now() });
        }
    }
}

impl fmt::Display for Injected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}: {:?}", self.span.from, self.span.to, self.fault)
    }
}
