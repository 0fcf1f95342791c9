//! The attacker has hundreds of requests of 1 MiB wait for the response of one.

use std::time::Duration;

use axum::body::Bytes;
use tokio::time::{Instant, sleep};

use crate::attacker;
use crate::client::{Client, Payment, SERVED};
use crate::report::measure;
use crate::stage::{STORES, Stage};
use crate::tally::Tally;

const WAITERS: usize = 200;
const SIZE: usize = (1 << 20) - 256;

pub(crate) async fn run(time: Duration) {
    for store in STORES {
        let stage = Stage::set(store, &["--in-flight", "wait:20s"]).await;
        let address = stage.address();
        let body = slow_order();
        let lane = move |_: usize, until: Instant| {
            let body = body.clone();
            async move {
                let mut tally = Tally::default();
                let mut client = Client::to(address).patient(Duration::from_secs(25));
                for round in 0.. {
                    // All lanes share one key, and use a new one when its operation is over.
                    while Instant::now() < until {
                        let sent = Instant::now();
                        let payment =
                            Payment::json(Some("mallory"), format!("round-{round}"), body.clone());
                        let reply = client.pay(payment).await;
                        let is_over = reply == SERVED;
                        tally.add(reply, sent.elapsed());
                        if is_over {
                            break;
                        }
                        sleep(Duration::from_secs(1)).await;
                    }
                    if Instant::now() >= until {
                        break;
                    }
                }
                tally
            }
        };
        measure(&format!("waiting, {store}"), &stage, time, || {
            attacker::start(WAITERS, time, lane)
        })
        .await;
    }
}

/// An order of 1 MiB that takes 15 s.
fn slow_order() -> Bytes {
    let note = "x".repeat(SIZE);
    let order = serde_json::json!({
        "amount": 1, "currency": "EUR", "to": "acct_3", "note": note, "sandbox": { "delay_ms": 15_000 }
    });
    order.to_string().into()
}
