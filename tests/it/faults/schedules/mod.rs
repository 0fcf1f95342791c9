//! Random schedules of faults: sandboxes and servers are killed, stopped, cut off and replaced
//! while clients pay, and then the ledger is audited. `scripts/faults` runs them; its help tells
//! the settings.

use std::fmt::{self, Display};

use audit::Findings;
use plan::{OnAbandoned, Plan};
use stage::Kind;

use crate::support::random::{any_seed, setting};

mod audit;
mod clients;
mod faults;
mod history;
mod plan;
mod run;
mod stage;

/// What came of one schedule or of several.
#[derive(Default)]
struct Figures {
    schedules: usize,
    operations: usize,
    faults: usize,
    findings: Findings,
    problems: usize,
}

impl Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { schedules, operations, faults, findings, .. } = self;
        let Findings {
            abandoned, told, lost, other, differing, differing_in_doubles, stuck, ..
        } = findings;
        let doubles = findings.doubles();
        write!(
            f,
            "schedules {schedules} · operations {operations} · faults {faults} · doubles {doubles} (abandoned \
             {abandoned}, {told} of them after a response, lost {lost}, other {other}) · differing {differing} (+{differing_in_doubles} in doubles) \
             · stuck {stuck} · problems {}",
            self.problems
        )
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by scripts/faults"]
async fn every_double_has_a_cause_and_nothing_stays_stuck() {
    let store: String = setting("FAULTS_STORE", "all".into());
    let kinds: Vec<_> =
        Kind::ALL.into_iter().filter(|kind| store == "all" || store == kind.name()).collect();
    assert!(!kinds.is_empty(), "there is no store {store:?}");
    let policies = match &*setting("FAULTS_ON_ABANDONED", "both".to_owned()) {
        "rerun" => vec![OnAbandoned::Rerun],
        "refuse" => vec![OnAbandoned::Reject],
        "both" => vec![OnAbandoned::Rerun, OnAbandoned::Reject],
        other => panic!("FAULTS_ON_ABANDONED cannot be {other:?}"),
    };
    let schedules: u64 = setting("FAULTS_SCHEDULES", 1);
    let operations: usize = setting("FAULTS_OPERATIONS", 75);
    let seed: u64 = setting("FAULTS_SEED", any_seed());

    let mut total = Figures::default();
    for kind in kinds {
        for on_abandoned in &policies {
            let mut sum = Figures::default();
            for seed in seed..seed + schedules {
                let policy = if *on_abandoned == OnAbandoned::Rerun { "rerun" } else { "refuse" };
                let again = format!(
                    "--store {} --on-abandoned {policy} --operations {operations} --schedules 1 --seed {seed}",
                    kind.name()
                );
                println!("{again}");
                let result = run::run(Plan::draw(seed, kind, *on_abandoned, operations)).await;
                let figures = Figures {
                    schedules: 1,
                    operations,
                    faults: result.faults,
                    findings: result.findings,
                    problems: result.report.len(),
                };
                println!("  {figures}");
                for line in &result.report {
                    println!("{line}");
                }
                if !result.report.is_empty() {
                    println!("  again: scripts/faults {again}");
                }
                sum.add(figures);
            }
            if schedules > 1 {
                println!("{} {on_abandoned:?}: {sum}", kind.name());
            }
            total.add(sum);
        }
    }
    println!("{total}");
    assert_eq!(total.problems, 0, "violations: see above");
}

impl Figures {
    fn add(&mut self, other: Self) {
        self.schedules += other.schedules;
        self.operations += other.operations;
        self.faults += other.faults;
        self.findings.add(other.findings);
        self.problems += other.problems;
    }
}
