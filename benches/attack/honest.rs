//! The honest tenant: steady payments, each with a fresh key, on one connection.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Bytes;
use tokio::time::{Instant, sleep_until};

use crate::client::{Client, Payment, Reply};
use crate::tally::Tally;

pub(crate) const TOKEN: &str = "honest";
const PACE: Duration = Duration::from_millis(50);

/// Sends a payment every 50 ms for this time. The latency counts from the time when a payment was
/// due, so one slow response shows in all payments that waited for it.
pub(crate) async fn pay(address: SocketAddr, name: &str, body: &Bytes, time: Duration) -> Tally {
    let mut tally = Tally::default();
    let mut client = Client::to(address);
    let start = Instant::now();
    for number in 0.. {
        let due = start + PACE * number;
        if due >= start + time {
            break;
        }
        sleep_until(due).await;
        let reply = client.pay(payment(name, number, body)).await;
        tally.add(reply, due.elapsed());
    }
    tally
}

/// Sends a payment every 50 ms for this time, each three times. Returns the last response to each.
pub(crate) async fn pay_thrice(
    address: SocketAddr,
    name: &str,
    body: &Bytes,
    time: Duration,
) -> (Tally, Vec<Reply>) {
    let (mut tally, mut last) = (Tally::default(), Vec::new());
    let mut client = Client::to(address);
    let start = Instant::now();
    for number in 0.. {
        let due = start + PACE * number;
        if due >= start + time || start.elapsed() >= time {
            break;
        }
        sleep_until(due).await;
        let mut reply = Reply::new();
        for _ in 0..3 {
            let sent = Instant::now();
            reply = client.pay(payment(name, number, body)).await;
            tally.add(reply.clone(), sent.elapsed());
        }
        last.push(reply);
    }
    (tally, last)
}

pub(crate) fn payment(name: &str, number: u32, body: &Bytes) -> Payment {
    Payment::json(Some(TOKEN), format!("{name}-{number}"), body.clone())
}
