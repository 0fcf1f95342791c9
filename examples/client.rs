//! Pays an order once, however often it is run and killed. Run it again with the same order, and it
//! goes on where it was. It sends nothing when the server may have forgotten the key, and says so.
//!
//! ```sh
//! cargo run --example payments
//! TOKEN=token-of-alice cargo run --features client --example client -- order-1001 1200
//! ```

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tower::Layer;
use tower_idempotency::client::{
    ClientLayer, Disposition, FileKeyStore, Operations, Report, Reported,
};

const USAGE: &str = "usage: client ORDER AMOUNT [BODY]

ORDER         a name of letters, digits, dots, underscores and hyphens
PAYMENTS_URL  where to pay, http://127.0.0.1:3000/payments if it is not set
TOKEN         the bearer token of the account; without it none is sent
KEYS          the directory for keys and outcomes, ./keys if it is not set
BODY          what to send in place of a payment of AMOUNT";

#[tokio::main]
async fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let order = args.next().filter(|order| is_file_name(order));
    let amount = args.next().and_then(|amount| amount.parse().ok());
    let (Some(order), Some(amount)) = (order, amount) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let body = args.next().unwrap_or_else(|| body(amount));
    match pay(&order, body).await {
        Ok(Some(Outcome::Paid)) => ExitCode::SUCCESS,
        Ok(Some(Outcome::Rejected)) => {
            eprintln!("rejected: it will not be paid");
            ExitCode::from(3)
        }
        Ok(None) => {
            eprintln!("not certain yet: run it again with the same order, or look into it");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}: run it again with the same order, or look into it");
            ExitCode::FAILURE
        }
    }
}

fn is_file_name(order: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    order.bytes().all(is_plain) && !order.is_empty()
}

fn body(amount: u64) -> String {
    format!(r#"{{"amount":{amount},"currency":"EUR","to":"acct_2"}}"#)
}

/// Gives the outcome, or `None` if it is not certain.
async fn pay(order: &str, body: String) -> Result<Option<Outcome>, Box<dyn Error>> {
    let connections = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let mut client = ClientLayer::new().layer(connections);
    let directory = PathBuf::from(variable("KEYS", "keys"));
    // A server may store anonymous keys for less than a day: the memory store does for 10 minutes.
    let operations =
        Operations::new(FileKeyStore::open(&directory)?).retention(Duration::from_mins(10));

    // From here on the key is on disk.
    let begun = operations.begin(format!("pay {order}")).await;
    // Read the outcome after `begin`. Another process may have written it and dropped its key just
    // before, and then this key is a new one.
    if let Some((outcome, response)) = Outcome::read(&directory, order)? {
        println!("{response}");
        if let Ok(payment) = begun {
            payment.forget().await?;
        }
        return Ok(Some(outcome));
    }
    let mut payment = begun?;
    println!("{} {order}", if payment.is_resumed() { "resuming" } else { "paying" });

    let mut request = Request::post(variable("PAYMENTS_URL", "http://127.0.0.1:3000/payments"))
        .header("content-type", "application/json");
    if let Ok(token) = std::env::var("TOKEN") {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request = request.body(Full::from(body))?;
    let response = payment.send(&mut client, request).await?;
    let outcome = response.report().and_then(Outcome::of);
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    let response = format!("{status} {}", String::from_utf8_lossy(&body));
    println!("{response}");

    let Some(outcome) = outcome else { return Ok(None) };
    let write = || outcome.write(&directory, order, &response);
    match outcome {
        // Write the outcome first, and then drop the key.
        Outcome::Paid => {
            write()?;
            payment.finish().await?;
        }
        // A rejection is certain if the key could be dropped.
        Outcome::Rejected if payment.finish().await? => write()?,
        // Another process has started this order too, and may have paid it.
        Outcome::Rejected => return Ok(None),
    }
    Ok(Some(outcome))
}

#[derive(Clone, Copy)]
enum Outcome {
    Paid,
    Rejected,
}

impl Outcome {
    /// The outcome of the payment, if it is certain. A redirect says nothing about it.
    fn of(report: &Report) -> Option<Self> {
        let status = report.status().filter(|_| report.disposition() == Disposition::Final)?;
        match status.as_u16() {
            200..300 => Some(Self::Paid),
            400..500 => Some(Self::Rejected),
            _ => None,
        }
    }

    fn path(self, directory: &Path, order: &str) -> PathBuf {
        let suffix = match self {
            Self::Paid => "paid",
            Self::Rejected => "rejected",
        };
        directory.join(format!("{order}.{suffix}"))
    }

    /// The outcome that an earlier run wrote down, and the response that said so.
    fn read(directory: &Path, order: &str) -> io::Result<Option<(Self, String)>> {
        for outcome in [Self::Paid, Self::Rejected] {
            match fs::read_to_string(outcome.path(directory, order)) {
                Ok(response) => return Ok(Some((outcome, response))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Writes the whole file or none of it, even if the power fails.
    fn write(self, directory: &Path, order: &str, response: &str) -> io::Result<()> {
        let path = self.path(directory, order);
        let unfinished = directory.join(format!("{order}.{}.unfinished", std::process::id()));
        let mut file = File::create(&unfinished)?;
        file.write_all(response.as_bytes())?;
        file.sync_all()?;
        fs::rename(unfinished, &path)?;
        if cfg!(unix) {
            File::open(directory)?.sync_all()?;
        }
        println!("written to {}", path.display());
        Ok(())
    }
}

fn variable(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}
