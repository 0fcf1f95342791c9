//! The attacker fills a Redis with little memory. Each payment of the honest tenant has at most one
//! effect.
//!
//! The store cannot take new keys then, so rejections and latency do not count here. The honest
//! tenant sends each payment three times. Then it retries those that are in flight until they are
//! not, because the write of a response may be retried.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::client::{Client, IN_FLIGHT, Reply, order};
use crate::fill::flood;
use crate::report::{HEAD, pass_or_fail, row};
use crate::stage::Stage;
use crate::tally::Tally;
use crate::{attacker, honest};

/// Nearly the largest response that is stored.
const LARGE: usize = 900_000;
/// Longer than the layer retries a write to a store that does not respond, and longer than a lease.
const PATIENCE: Duration = Duration::from_secs(100);

pub(crate) async fn run(time: Duration) {
    for on_outage in ["closed", "open"] {
        let stage = Stage::set("redis", &["--on-outage", on_outage]).await;
        let redis = stage.redis.as_ref().unwrap();
        redis.tell::<String>("CONFIG SET maxmemory 32mb");
        redis.tell::<String>("CONFIG SET maxmemory-policy noeviction");
        let address = stage.address();
        let attack = attacker::start(8, time, flood(address, LARGE, time / 2));
        // Large requests, because a small reservation may fit where its response does not.
        let (mut tally, last) = honest::pay_thrice(address, "full", &order(LARGE), time).await;
        let got = attack.end().await;
        settle(&mut Client::to(address), last, &mut tally).await;

        println!("\nfull, redis, --on-outage {on_outage}\n\n{HEAD}");
        row("attacked", &tally, stage.peak());
        println!("\nthe attacker got {}", got.replies());
        let second = stage.second_effects();
        println!("{}: {second} keys with a second effect", pass_or_fail(second == 0));
    }
}

async fn settle(client: &mut Client, mut last: Vec<Reply>, tally: &mut Tally) {
    let start = Instant::now();
    while last.iter().any(|reply| reply == IN_FLIGHT) && start.elapsed() < PATIENCE {
        sleep(Duration::from_secs(1)).await;
        for (number, reply) in (0..).zip(&mut last) {
            if reply == IN_FLIGHT {
                let sent = Instant::now();
                *reply = client.pay(honest::payment("full", number, &order(LARGE))).await;
                tally.add(reply.clone(), sent.elapsed());
            }
        }
    }
}
