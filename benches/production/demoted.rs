//! How long a demoted primary stays in use, behind an address that leads to its replica.

use std::time::{Duration, Instant};

use tokio::time::sleep;
use tower_idempotency::RedisStore;
use tower_idempotency::store::{Reservation, Settlement, Store};

use crate::each_redis;
use crate::proxy::Proxy;
use crate::redis::traffic::request;
use crate::redis::{RedisServer, until};

const ROUNDS: usize = 5;
/// The time that the benchmark watches the store.
const WATCHED: Duration = Duration::from_secs(10);

pub(crate) async fn run(arguments: &[&str]) {
    if arguments != ["here"] {
        println!("| server | first new operation | first renewal of a running attempt |");
        println!("|---|---|---|");
        return each_redis::run("demoted");
    }
    let (mut operations, mut renewals) = (Vec::new(), Vec::new());
    let mut version = String::new();
    for _ in 0..ROUNDS {
        let (primary, replica) = (RedisServer::start(), RedisServer::start());
        version = each_redis::version(&primary);
        primary.tell::<()>("CONFIG SET repl-diskless-sync-delay 0");
        follow(&replica, &primary);
        let address = Proxy::start(primary.port()).await;
        let (one, other) = (open(&address), open(&address));
        let Ok(Reservation::Acquired(running)) = one.reserve(&request("running")).await else {
            panic!("the key is taken");
        };
        assert_eq!(one.renew(&running).await.unwrap(), Settlement::Applied);
        assert!(other.reserve(&request("before")).await.is_ok());
        until("a replica that has everything", || replica.size() == 2);

        replica.tell::<()>("REPLICAOF NO ONE");
        address.lead_to(replica.port());
        follow(&primary, &replica);
        let demoted = Instant::now();
        let mut number = 0;
        let operation = first_success(demoted, async || {
            number += 1;
            other.reserve(&request(&format!("after-{number}"))).await.is_ok()
        });
        let renewal = first_success(demoted, async || {
            one.renew(&running).await.is_ok_and(|settled| settled == Settlement::Applied)
        });
        let (operation, renewal) = tokio::join!(operation, renewal);
        operations.push(operation);
        renewals.push(renewal);
    }
    println!("| {version} | {} | {} |", seconds(operations), seconds(renewals));
}

fn open(address: &Proxy) -> RedisStore {
    RedisStore::open(&address.url()).unwrap()
}

fn follow(replica: &RedisServer, primary: &RedisServer) {
    replica.tell::<()>(&format!("REPLICAOF 127.0.0.1 {}", primary.port()));
    until("a replica in step", || {
        replica.tell::<String>("INFO replication").contains("master_link_status:up")
    });
}

/// The time until the first success. `None` if there was none during that time.
async fn first_success(
    since: Instant,
    mut succeeds: impl AsyncFnMut() -> bool,
) -> Option<Duration> {
    while since.elapsed() < WATCHED {
        if succeeds().await {
            return Some(since.elapsed());
        }
        sleep(Duration::from_millis(5)).await;
    }
    None
}

fn seconds(rounds: Vec<Option<Duration>>) -> String {
    let never = rounds.iter().filter(|took| took.is_none()).count();
    let mut took: Vec<_> = rounds.into_iter().flatten().collect();
    took.sort_unstable();
    let text = match (took.get(took.len() / 2), took.last()) {
        (Some(median), Some(most)) => {
            format!("{:.2} s, at most {:.2} s", median.as_secs_f64(), most.as_secs_f64())
        }
        _ => String::new(),
    };
    match never {
        0 => text,
        _ => format!("{text} none within {} s in {never} of {ROUNDS} rounds", WATCHED.as_secs())
            .trim_start()
            .to_owned(),
    }
}
