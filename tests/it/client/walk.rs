//! A random walk. Processes pay by name, and are killed in mid-operation. Their store of keys
//! fails, and so does the network: it loses, cuts and delays, and load balancers respond for the
//! server.
//!
//! `WALK_OPERATIONS` is how many names there are, and `WALK_SEED` chooses what happens to them.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::support::random::{Draw, any_seed, setting};
use crate::support::{Server, patiently};
use bank::Bank;
use network::Network;
use payer::{Journal, Part};

mod bank;
mod network;
mod payer;

/// Each has its own names and its own store of keys.
const PROCESSES: usize = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_through_kills_and_a_network_that_lies_are_done_once_each() {
    let seed = setting("WALK_SEED", any_seed());
    let operations = setting("WALK_OPERATIONS", 1000);
    println!("WALK_SEED={seed} WALK_OPERATIONS={operations}");
    let (start, draw) = (Instant::now(), Draw::from_seed(seed));
    let bank = Bank::new(draw.part("bank"));
    let server = Server::start(bank.app()).await;
    let network = Network::start(server.address(), draw.part("network")).await;
    let place = tempfile::tempdir().unwrap();
    let parts: Vec<Part> = (0..PROCESSES)
        .map(|number| Part {
            names: (number * operations / PROCESSES)..((number + 1) * operations / PROCESSES),
            place: place.path().join(number.to_string()),
            url: format!("http://{}/payments", network.address()),
        })
        .collect();

    let mut walks = JoinSet::new();
    for (number, part) in parts.iter().enumerate() {
        walks.spawn(through_the_storm(
            part.clone(),
            network.clone(),
            draw.part(&format!("part {number}")),
        ));
    }
    let kills: usize = walks.join_all().await.into_iter().sum();
    let known: usize = parts.iter().map(|part| paid(&part.place).len()).sum();
    println!(
        "{known} of {operations} are known to be paid after {kills} kills, {:?}",
        start.elapsed()
    );
    println!("{:?}", network.fates());
    assert_eq!(bank.paid_more_than_once(), HashMap::new());

    network.calm();
    bank.calm();
    for part in &parts {
        assert!(patiently(part.start(None).wait()).await.unwrap().success());
    }
    let payments = bank.payments();
    assert_eq!(bank.paid_more_than_once(), HashMap::new());
    assert_eq!(payments.len(), operations);
    for part in parts {
        // Each name has the outcome of its one payment, and no key is left.
        let paid = paid(&part.place);
        for number in part.names.clone() {
            let name = Part::name(number);
            assert_eq!(paid.get(&name), payments.get(&name).map(|ids| &ids[0]), "{name}");
        }
        let left = std::fs::read_dir(part.place.join("keys"))
            .unwrap()
            .map(|file| file.unwrap().file_name());
        assert_eq!(left.filter(|name| name != "lock").collect::<Vec<_>>(), [""; 0]);
    }
    println!("all of them after {:?}", start.elapsed());
}

/// Runs the process until it comes to its end alive, and tells how often it was killed.
async fn through_the_storm(part: Part, network: Network, mut draw: Draw) -> usize {
    for kills in 0.. {
        let mut child = part.start(Some(draw.next()));
        let requests = usize::try_from(draw.between(20, 150)).unwrap();
        tokio::select! {
            status = child.wait() => {
                assert!(status.unwrap().success());
                return kills;
            }
            () = network.passes(requests) => child.kill().await.unwrap(),
        }
    }
    unreachable!("it is killed for ever")
}

fn paid(place: &Path) -> HashMap<String, String> {
    Journal::read(&place.join("journal"))
}

impl Part {
    fn name(number: usize) -> String {
        format!("invoice {number}")
    }

    /// Starts a process that pays, with a store of keys that fails as the seed says, or never.
    fn start(&self, seed: Option<u64>) -> Child {
        std::fs::create_dir_all(&self.place).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "walk::payer::pays_its_part", "--nocapture"]);
        self.write(seed, &mut command);
        command.stdout(Stdio::null()).kill_on_drop(true).spawn().unwrap()
    }
}
