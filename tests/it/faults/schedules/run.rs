//! One schedule, from the start of its servers to the end of its audit.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::audit::{Findings, Rules, audit};
use super::clients::{Payment, Sandboxes, now};
use super::faults::{Injected, Processes, Starter, watch};
use super::history::{At, Effect, Heard, History};
use super::plan::{OnAbandoned, Plan};
use super::stage::Stage;
use crate::support::sandbox::Sandbox;

/// How much longer than its lease a record may be in the way, and a sandbox unwell, after the last
/// fault.
const MARGIN: Duration = Duration::from_secs(5);

/// What a schedule comes to.
pub(super) struct Result {
    pub(super) faults: usize,
    pub(super) findings: Findings,
    /// Everything that must be known of each violation.
    pub(super) report: Vec<String>,
}

pub(super) async fn run(plan: Plan) -> Result {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, notes) = (directory.path().join("ledger"), directory.path().join("stderr"));
    let stalls = Arc::default();
    let watching = tokio::spawn(watch(Arc::clone(&stalls)));
    let (histories, mut faults, mut problems) = play(&plan, &ledger, &notes).await;
    watching.abort();
    faults.sort_by_key(|injected| injected.span.from);
    problems.extend(panics(&notes));

    let mut rules = rules(&plan, &faults);
    let stalls = std::mem::take(&mut *stalls.lock().unwrap());
    rules.faults.extend(&stalls);
    let mut effects = effects(&ledger);
    let mut findings = Findings::default();
    let mut report = Vec::new();
    for history in histories {
        let effects = effects.remove(&history.key).unwrap_or_default();
        let judged = audit(&history, &effects, &rules);
        if !judged.violations.is_empty() {
            report.push(describe(&history, &effects, &judged));
        }
        findings.add(judged);
    }
    problems.extend(
        effects.into_keys().map(|key| format!("an effect under a key that no client sent: {key}")),
    );
    report.extend(problems);
    if !report.is_empty() {
        report.extend(faults.iter().map(|injected| format!("  fault {injected}")));
        report.extend(
            stalls
                .iter()
                .map(|stall| format!("  {} to {}: the machine stood still", stall.from, stall.to)),
        );
        report.push(format!("  settings {:?}", plan.settings));
        report.push(format!(
            "  the ledger and what the sandboxes noted: {}",
            directory.keep().display()
        ));
    }
    Result { faults: faults.len(), findings, report }
}

/// Plays the schedule; then, when every fault is undone, asks for each operation that
/// has no definitive response yet.
async fn play(
    plan: &Plan,
    ledger: &Path,
    notes: &Path,
) -> (Vec<History>, Vec<Injected>, Vec<String>) {
    let count = plan.settings.sandboxes;
    let mut stage = Stage::start(plan.kind, count).await;
    let starter = Starter {
        urls: (0..count).map(|sandbox| stage.url(sandbox)).collect(),
        flags: plan.settings.flags(),
        ledger: ledger.into(),
        notes: notes.into(),
    };
    let mut running = Vec::new();
    for sandbox in 0..count {
        running.push(starter.start(sandbox).await);
    }
    let known_as = Arc::new(Sandboxes::new(running.iter().map(Sandbox::address).collect()));
    let mut processes =
        Processes { starter, running, known_as: known_as.clone(), problems: Vec::new() };
    let mut problems = Vec::new();
    recovered(&known_as, &mut problems).await;

    let payments: Vec<_> = plan
        .operations
        .iter()
        .map(|operation| Payment::new(operation.clone(), known_as.clone()))
        .collect();
    let over = Arc::new(AtomicBool::new(false));
    let (planned, end) = (plan.process_faults.clone(), over.clone());
    let of_processes = tokio::spawn(async move {
        let injected = processes.suffer(&planned, &end).await;
        (processes, injected)
    });
    let (planned, end) = (plan.store_faults.clone(), over.clone());
    let of_store = tokio::spawn(async move {
        let injected = stage.suffer(&planned, &end).await;
        (stage, injected)
    });
    payments.iter().cloned().map(Payment::play).collect::<JoinSet<_>>().join_all().await;
    over.store(true, Ordering::Relaxed);
    let (mut processes, mut injected) = of_processes.await.unwrap();
    let (_stage, of_store) = of_store.await.unwrap();
    injected.extend(of_store);

    recovered(&known_as, &mut problems).await;
    // Until here what an attempt left behind may be in the way. From here on it is stuck if it
    // still is, a little later.
    tokio::time::sleep(plan.settings.lease).await;
    let lapse = plan.settings.lease + plan.settings.wait.unwrap_or_default() + MARGIN;
    let mut histories = Vec::new();
    for some in payments.chunks(32) {
        let concluding = some.iter().cloned().map(|payment| payment.conclude(lapse));
        histories.extend(concluding.collect::<JoinSet<_>>().join_all().await);
    }
    for sandbox in 0..count {
        processes.expect_running(sandbox);
    }
    problems.append(&mut processes.problems);
    (histories, injected, problems)
}

/// Waits until every sandbox says that it is well.
async fn recovered(sandboxes: &Sandboxes, problems: &mut Vec<String>) {
    let until = Instant::now() + MARGIN;
    for sandbox in 0..sandboxes.count() {
        while !sandboxes.is_healthy(sandbox).await {
            if Instant::now() > until {
                problems.push(format!(
                    "sandbox {sandbox} was not well {MARGIN:?} after the last fault: {}",
                    now()
                ));
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn rules(plan: &Plan, faults: &[Injected]) -> Rules {
    let aftermath = plan.settings.lease + Duration::from_secs(2);
    Rules {
        reruns_abandoned: plan.settings.on_abandoned == OnAbandoned::Rerun,
        rejects_failed: plan.settings.on_failed != "rerun",
        faults: faults.iter().map(|injected| injected.span).collect(),
        losses: faults
            .iter()
            .filter(|injected| injected.fault.may_lose())
            .map(|injected| injected.span)
            .collect(),
        aftermath: At::try_from(aftermath.as_millis()).unwrap(),
    }
}

/// What the ledger says, by key.
fn effects(ledger: &Path) -> HashMap<String, Vec<Effect>> {
    let mut effects = HashMap::<String, Vec<Effect>>::new();
    for line in std::fs::read_to_string(ledger).unwrap().lines() {
        let effect: Effect = serde_json::from_str(line).unwrap();
        effects.entry(effect.key.clone()).or_default().push(effect);
    }
    effects
}

/// Panics that no order asked for.
fn panics(notes: &PathBuf) -> Vec<String> {
    let notes = std::fs::read_to_string(notes).unwrap_or_default();
    let panics = notes.lines().filter(|line| line.contains("panicked at"));
    panics
        .filter(|line| !line.contains("examples/sandbox/payments.rs"))
        .map(str::to_owned)
        .collect()
}

fn describe(history: &History, effects: &[Effect], findings: &Findings) -> String {
    let mut lines = vec![
        format!("{}: {:?}", history.key, findings.violations),
        format!("  order {}", history.order),
    ];
    lines.extend(effects.iter().map(|Effect { at, attempt, id, .. }| {
        format!("  effect at {at}: attempt {attempt}, {id}")
    }));
    lines.extend(history.heard.iter().map(|Heard { begun, ended, sandbox, said }| {
        format!("  {begun} to {ended}, sandbox {sandbox}: {said}")
    }));
    lines.join("\n")
}
