//! Pays an order, and survives being killed while it does: run it again with the same order, and it goes on where it was.
//!
//! ```sh
//! cargo run --example payments
//! cargo run --features client --example client -- order-1001 1200
//! ```

use std::error::Error;
use std::process::ExitCode;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tower::Layer;
use tower_idempotency::client::{ClientLayer, FileKeyStore, Operations};

const USAGE: &str = "usage: client ORDER AMOUNT [BODY]

PAYMENTS_URL  where to pay, http://127.0.0.1:3000/payments if it is not set
KEYS          the directory for keys, ./keys if it is not set
BODY          what to send in place of a payment of AMOUNT";

#[tokio::main]
async fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (Some(order), Some(amount)) = (args.next(), args.next().and_then(|amount| amount.parse().ok()))
    else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let body = args.next().unwrap_or_else(|| body(amount));
    match pay(&order, body).await {
        Ok(Paid::Yes) => ExitCode::SUCCESS,
        Ok(Paid::No) => {
            eprintln!("refused: it will not be paid");
            ExitCode::from(3)
        }
        Ok(Paid::Unknown) => {
            eprintln!("not certain yet: run it again");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}: run it again");
            ExitCode::FAILURE
        }
    }
}

enum Paid {
    Yes,
    No,
    Unknown,
}

fn body(amount: u64) -> String {
    format!(r#"{{"amount":{amount},"currency":"EUR","to":"acct_2"}}"#)
}

async fn pay(order: &str, body: String) -> Result<Paid, Box<dyn Error>> {
    let connections = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let mut client = ClientLayer::new().layer(connections);
    let operations = Operations::new(FileKeyStore::open(variable("KEYS", "keys"))?);

    // From here on the key is on disk.
    let mut payment = operations.begin(format!("pay {order}")).await?;
    println!("{} {order}", if payment.is_resumed() { "resuming" } else { "paying" });

    let request = Request::post(variable("PAYMENTS_URL", "http://127.0.0.1:3000/payments"))
        .header("content-type", "application/json")
        .body(Full::from(body))?;
    let answer = payment.send(&mut client, request).await?;
    let status = answer.status();
    let text = answer.into_body().collect().await?.to_bytes();

    // An application writes down here what came of it, and only then lets go of the key.
    println!("{status} {}", String::from_utf8_lossy(&text));
    let is_certain = payment.finish().await?;
    Ok(match status.is_success() {
        _ if !is_certain => Paid::Unknown,
        true => Paid::Yes,
        false => Paid::No,
    })
}

fn variable(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}
