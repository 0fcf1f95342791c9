//! The attacker begins hundreds of uploads, and stops each half way.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};

use crate::attacker;
use crate::client::Reply;
use crate::report::measure;
use crate::stage::{STORES, Stage};
use crate::tally::Tally;

const UPLOADS: usize = 200;
const SIZE: usize = 1 << 20;
static HALF: [u8; SIZE / 2] = [b' '; SIZE / 2];

pub(crate) async fn run(time: Duration) {
    for store in STORES {
        let stage = Stage::set(store, &[]).await;
        let address = stage.address();
        let lane = move |lane: usize, until: Instant| async move {
            let mut tally = Tally::default();
            for number in 0.. {
                let sent = Instant::now();
                if sent >= until {
                    break;
                }
                let upload = timeout_at(until, upload(address, format!("upload-{lane}-{number}")));
                let reply = match upload.await {
                    Err(_) => "still open at the end".into(),
                    Ok(Ok(reply)) => reply,
                    Ok(Err(_)) => "broken connection".into(),
                };
                tally.add(reply, sent.elapsed());
                // Limits the rate if the server closes at once.
                sleep(Duration::from_millis(100)).await;
            }
            tally
        };
        measure(&format!("uploads, {store}"), &stage, time, || {
            attacker::start(UPLOADS, time, lane)
        })
        .await;
    }
}

/// Sends half of a request, and waits for the reaction of the server.
async fn upload(address: SocketAddr, key: String) -> io::Result<Reply> {
    let mut stream = TcpStream::connect(address).await?;
    let head = format!(
        "POST /payments HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer mallory\r\n\
         content-type: application/json\r\nx-idempotency-key: {key}\r\ncontent-length: {SIZE}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&HALF).await?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response).await?;
    let status = response.get(9..12).map_or("closed".into(), String::from_utf8_lossy);
    Ok(status.into_owned())
}
