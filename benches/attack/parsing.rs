//! The attacker sends bodies of 1 MiB that are costly to parse.

use std::fmt::Write as _;
use std::time::Duration;

use axum::body::Bytes;
use tokio::time::Instant;

use crate::attacker::{self, token};
use crate::client::{Client, Payment};
use crate::report::measure;
use crate::stage::{STORES, Stage};
use crate::tally::Tally;

const LANES: usize = 8;
/// Just below the limit of a request.
const SIZE: usize = (1 << 20) - 64;
const JSON: &str = "application/json";

pub(crate) async fn run(time: Duration) {
    for store in STORES {
        let stage = Stage::set(store, &["--canonical-json"]).await;
        let address = stage.address();
        let lane = move |lane: usize, until: Instant| async move {
            let (mut tally, mut client) = (Tally::default(), Client::to(address));
            for (number, (content_type, body)) in
                bodies().into_iter().cycle().skip(lane).enumerate()
            {
                let sent = Instant::now();
                if sent >= until {
                    break;
                }
                let key = format!("parsing-{lane}-{number}");
                let reply =
                    client.pay(Payment { token: token(lane), key, content_type, body }).await;
                tally.add(reply, sent.elapsed());
            }
            tally
        };
        measure(&format!("parsing, {store}"), &stage, time, || attacker::start(LANES, time, lane))
            .await;
    }
}

/// The bodies that cost the most for their size, with their content types.
fn bodies() -> Vec<(&'static str, Bytes)> {
    let array = |element: &str| {
        let elements = vec![element; SIZE / (element.len() + 1) - 2].join(",");
        (JSON, format!("[{elements}]").into())
    };
    let mut members = String::from("{");
    while members.len() < SIZE - 32 {
        let comma = if members.len() > 1 { "," } else { "" };
        let number = members.len();
        write!(members, "{comma}\"{number:x}\":0").unwrap();
    }
    members.push('}');
    let part = "--b\r\ncontent-disposition: form-data; name=a\r\n\r\n\r\n";
    let parts = part.repeat((SIZE - 8) / part.len()) + "--b--\r\n";
    vec![
        ("application/x-www-form-urlencoded", "a&".repeat(SIZE / 2).into()),
        array("[0]"),
        array("[[0]]"),
        array("1.5"),
        // Numbers near the middle of two doubles, which are slow to parse.
        array("1.0000000000018358492e300"),
        array("1.085367852217395200000e-300"),
        (JSON, members.into()),
        ("multipart/form-data; boundary=b", parts.into()),
    ]
}
