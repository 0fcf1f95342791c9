//! Gateways, an upstream and Redis are killed at random, while clients pay until each has a
//! definitive response.
//!
//! `FAULTS_OPERATIONS=100000 cargo test -p tower-idempotency-gateway --test faults -- --nocapture`
//! is the long form. `FAULTS_SEED` plays the same draws again.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "they are tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use tokio::task::JoinSet;

mod audit;
mod client;
mod site;

use audit::{Audit, Paid};
use client::Client;
use site::Site;

const CLIENTS: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    Rerun,
    Refuse,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_refuse_no_operation_has_two_effects() {
    run(Policy::Refuse).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_rerun_only_an_operation_in_doubt_has_two_effects() {
    run(Policy::Rerun).await;
}

fn setting<T: std::str::FromStr>(name: &str, default: T) -> T {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// The draws of one part of a run.
fn draw(seed: u64, part: u64) -> Rng {
    Rng::with_seed(seed.wrapping_add(part))
}

async fn run(policy: Policy) {
    let operations: usize = setting("FAULTS_OPERATIONS", 3000);
    let seed = setting("FAULTS_SEED", fastrand::u64(..));
    println!("{policy:?} seed {seed}");
    let begun = Instant::now();
    let site = Arc::new(Site::start(policy));
    let killing = Arc::new(AtomicBool::new(true));
    let next = Arc::new(AtomicUsize::new(0));

    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let (site, next) = (Arc::clone(&site), Arc::clone(&next));
        clients.spawn(async move {
            let mut client = Client::new(&site, draw(seed, number as u64 + 1));
            let mut paid: Vec<Paid> = Vec::new();
            loop {
                let operation = next.fetch_add(1, Ordering::Relaxed);
                if operation >= operations {
                    return paid;
                }
                paid.push(client.pay(&format!("order-{operation}")).await);
            }
        });
    }
    let killer = {
        let (site, killing) = (Arc::clone(&site), Arc::clone(&killing));
        tokio::spawn(async move {
            let mut draw = draw(seed, 0);
            let mut kills = [0; 3];
            while killing.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(draw.u64(50..400))).await;
                let victim = draw.usize(..3);
                kills[victim] += 1;
                site.kill(victim, draw.usize(..2)).await;
            }
            kills
        })
    };
    let paid: Vec<_> = clients.join_all().await.into_iter().flatten().collect();
    killing.store(false, Ordering::Relaxed);
    let kills = killer.await.unwrap();
    // A retry after all has calmed down gets what the client got, from either gateway.
    let mut differing = Vec::new();
    let mut client = Client::new(&site, draw(seed, u64::MAX));
    for one in paid.iter().step_by((operations / 500).max(1)) {
        for gateway in 0..site::GATEWAYS {
            let again = client.ask(gateway, one).await;
            if again.as_ref() != Some(&one.response) {
                differing.push((one.clone(), again));
            }
        }
    }
    let audit = Audit::new(policy, &paid, &site.ledger());
    println!(
        "{policy:?} seed {seed}: {} operations, {} requests, {} effects, {} of them second ones in \
         doubt; killed: gateways {}, upstream {}, Redis {}; {:.1} s",
        paid.len(),
        paid.iter().map(|one| one.requests).sum::<usize>(),
        audit.effects,
        audit.doubles,
        kills[0],
        kills[1],
        kills[2],
        begun.elapsed().as_secs_f64(),
    );
    assert!(audit.problems.is_empty(), "seed {seed}: {:#?}", audit.problems);
    assert!(differing.is_empty(), "seed {seed}: {differing:#?}");
    assert!(kills.iter().all(|count| *count > 0), "nothing was killed: {kills:?}");
}
