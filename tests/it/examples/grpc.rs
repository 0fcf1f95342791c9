//! The example `grpc`, run as its first lines say.

use std::process::Output;

use tokio::process::Command;

use crate::support::patiently;
use crate::support::sandbox::{Sandbox, example};

struct Bank(Sandbox);

impl Bank {
    async fn open() -> Self {
        let mut command = Command::new(example("grpc"));
        Self(
            Sandbox::run(command.env("BANK", "127.0.0.1:0"))
                .await
                .expect("the example ended without output"),
        )
    }

    /// Runs the client; gives what it said, and whether the transfer was made.
    async fn transfer(&self, arguments: &[&str]) -> (String, bool) {
        let mut command = Command::new(example("grpc"));
        let client = command.env("BANK", self.0.address().to_string()).args(arguments);
        let Output { status, stdout, stderr } = patiently(client.output()).await.unwrap();
        (String::from_utf8([stdout, stderr].concat()).unwrap(), status.success())
    }

    async fn makes(&self, arguments: &[&str], said: &str) {
        assert_eq!(self.transfer(arguments).await, (format!("{said}\n"), true));
    }

    async fn rejects(&self, arguments: &[&str], said: &[&str]) {
        let (all, made) = self.transfer(arguments).await;
        assert!(!made && said.iter().all(|said| all.contains(said)), "{all}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_is_made_once_and_replayed_and_another_one_under_its_key_is_rejected() {
    let mut bank = Bank::open().await;
    bank.makes(&["order-1001", "savings", "1200"], "transfer-1, 8800 cents left").await;
    bank.makes(&["order-1001", "savings", "1200"], "transfer-1, 8800 cents left (replayed)").await;
    bank.rejects(&["order-1001", "rent", "1200"], &["AlreadyExists", "IDEMPOTENCY_KEY_REUSED"])
        .await;
    bank.rejects(&["order-1002", "nobody", "1200"], &["NotFound: there is no such account\""])
        .await;
    bank.rejects(
        &["order-1002", "nobody", "1200"],
        &["NotFound: there is no such account (replayed)"],
    )
    .await;
    bank.rejects(&["order-1003", "rent", "9900"], &["FailedPrecondition: not that much is left\""])
        .await;
    bank.makes(&["order-1003", "rent", "900"], "transfer-2, 7900 cents left").await;
    bank.rejects(&["order 1004", "rent", "900"], &["InvalidArgument", "IDEMPOTENCY_KEY_INVALID"])
        .await;
    bank.0.signal("TERM");
    assert_eq!(bank.0.ended().await.code(), Some(0));
}
