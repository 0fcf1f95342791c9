//! Operators release, settle and erase records at random while processes execute operations and
//! are killed. Afterwards the ledger, the responses and the records are compared with what the
//! operators did.
//!
//! `scripts/faults --store operated` is the long run; its help tells the settings.

use std::time::Instant;

use tokio::process::{Child, Command};

use crate::support::patiently;
use crate::support::random::{Draw, any_seed, setting};
use crate::support::site::{Site, open};
use audit::audit;
use notes::Notes;
use operators::Operators;
use worker::Setting;

mod audit;
mod chain;
mod notes;
mod operators;
mod worker;

const WORKERS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_and_live_attempts_do_not_harm_each_other_on_redis() {
    run(&Site::redis()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_and_live_attempts_do_not_harm_each_other_on_postgresql() {
    run(&Site::postgres()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_and_live_attempts_do_not_harm_each_other_on_sqlite() {
    run(&Site::sqlite()).await;
}

async fn run(site: &Site) {
    let operations: usize = setting("FAULTS_OPERATIONS", 1500);
    let seed = setting("FAULTS_SEED", any_seed());
    let begun = Instant::now();
    let directory = tempfile::tempdir().unwrap();
    let store = open(&site.url()).await;
    let settings: Vec<_> = (0..WORKERS)
        .map(|number| Setting {
            url: site.url(),
            notes: directory.path().join(format!("worker-{number}")),
            number,
            operations: operations / WORKERS,
            seed,
        })
        .collect();

    let of_operators = directory.path().join("operators");
    let operators = Operators::start(&store, &of_operators, seed);
    let mut draw = Draw::from_seed(seed).part("kills");
    let mut running: Vec<_> = settings.iter().map(|setting| Some(spawn(setting))).collect();
    let mut kills = 0;
    while running.iter().any(Option::is_some) {
        tokio::time::sleep(draw.millis(50, 400)).await;
        let number = draw.index(WORKERS);
        let Some(child) = &mut running[number] else { continue };
        if let Some(ended) = child.try_wait().unwrap() {
            assert!(ended.success(), "worker {number} failed: seed {seed}");
            running[number] = None;
            continue;
        }
        child.kill().await.unwrap();
        kills += 1;
        running[number] = Some(spawn(&settings[number]));
    }
    let deeds = operators.stop().await;
    let files = settings.iter().map(|setting| &*setting.notes).chain([&*of_operators]);
    let figures = patiently(audit(&store, &Notes::read(files), &deeds, kills)).await;
    println!(
        "{} seed {seed}: {figures} · kills {kills} · {:.1} s",
        site.url(),
        begun.elapsed().as_secs_f64()
    );
    assert_eq!(figures.problems, Vec::<String>::new(), "seed {seed}");
    assert!(figures.interventions > 0 && kills > 0, "nothing was tested: {figures}");
}

/// A process of its own: this program, which runs the one test below.
fn spawn(setting: &Setting) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "faults::operated::a_worker_executes_operations", "--ignored"]);
    command.env("OPERATED_WORKER", setting.to_json()).stdout(std::process::Stdio::null());
    command.kill_on_drop(true).spawn().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a process that the tests beside it start"]
async fn a_worker_executes_operations() {
    let setting = std::env::var("OPERATED_WORKER").expect("the tests beside it start it");
    worker::work(Setting::of_json(&setting)).await;
}
