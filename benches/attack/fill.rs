//! The attacker fills the store: responses of 1 MiB, then many small new keys.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::attacker::{self, token};
use crate::client::{Client, Payment, order};
use crate::report::measure;
use crate::stage::{STORES, Stage};
use crate::tally::Tally;

const LANES: usize = 8;
/// Below the largest response that is stored.
const LARGE: usize = (1 << 20) - 1024;
/// The number of these responses that the attacker sends to the store.
const MOST_LARGE: usize = 2048;

pub(crate) async fn run(time: Duration) {
    for store in STORES {
        let stage = Stage::set(store, &[]).await;
        let address = stage.address();
        let start = || attacker::start(LANES, time, flood(address, LARGE, time / 2));
        measure(&format!("fill, {store}"), &stage, time, start).await;
    }
}

/// Sends new keys: for a while with responses of this size, and then with small ones.
pub(crate) fn flood(
    address: SocketAddr,
    bytes: usize,
    for_a_while: Duration,
) -> impl Fn(usize, Instant) -> std::pin::Pin<Box<dyn Future<Output = Tally> + Send>> + Send + 'static
{
    let stored = Arc::<AtomicUsize>::default();
    let small_from = Instant::now() + for_a_while;
    move |lane, until| {
        let stored = Arc::clone(&stored);
        Box::pin(async move {
            let (large, small) = (order(bytes), order(0));
            let (mut tally, mut client) = (Tally::default(), Client::to(address));
            for number in 0.. {
                let sent = Instant::now();
                if sent >= until {
                    break;
                }
                let is_large =
                    sent < small_from && stored.fetch_add(1, Ordering::Relaxed) < MOST_LARGE;
                let body = if is_large { large.clone() } else { small.clone() };
                let key = format!("flood-{lane}-{number}");
                let reply = client.pay(Payment::json(token(lane), key, body)).await;
                tally.add(reply, sent.elapsed());
            }
            tally
        })
    }
}
