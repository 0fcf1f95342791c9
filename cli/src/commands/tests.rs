//! The commands on a store in memory. The clock is paused.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use clap::Parser as _;
use http::StatusCode;
use serde_json::Value;
use tokio::time::advance;
use tower_idempotency::store::operator::RecordState;
use tower_idempotency::store::{DynStore, NotRetained, Settlement, StorageKey, Store as _};
use tower_idempotency::{EncryptionKeys, IdempotencyLayer, MemoryStore, Scope};

use crate::args::Cli;
use crate::session::Session;
use crate::terminal::tests::typed;

#[path = "../../tests/it/planted.rs"]
mod planted;

use planted::Site;

mod changes;
mod looks;
mod odd;

/// What a command did.
struct Ran {
    code: u8,
    out: String,
    /// What it said beside the output, with the error.
    said: String,
}

impl Ran {
    /// The JSON documents of the output.
    fn json(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Runs a command. In its words, `_` is a space.
async fn run_with(
    site: &Site,
    line: &str,
    width: usize,
    answers: Option<&str>,
    set: impl Fn(IdempotencyLayer<DynStore>) -> IdempotencyLayer<DynStore>,
) -> Ran {
    let words = format!("idempotency {line}");
    let cli = Cli::try_parse_from(words.split(' ').map(|word| word.replace('_', " ")));
    let Cli { global, command } = cli.unwrap_or_else(|error| panic!("{error}"));
    let (mut terminal, out, said) = typed(width, answers);
    let layer = IdempotencyLayer::new(site.store.clone());
    let layer = set(layer.namespace(command.namespace().unwrap_or_default()));
    let mut session = Session::of(layer, site.store.clone(), &mut terminal, &global);
    let done = super::on_store(&command, &mut session).await;
    let code = match &done {
        Ok(()) => 0,
        Err(failure) => {
            failure.report(&mut terminal);
            failure.code
        }
    };
    Ran { code, out: out.take(), said: said.take() }
}

/// Runs a command without a terminal.
async fn run(site: &Site, line: &str) -> Ran {
    run_with(site, line, 80, None, |layer| layer).await
}

/// Runs a command on a terminal. The user types this.
async fn asked(site: &Site, line: &str, answers: &str) -> Ran {
    run_with(site, line, 80, Some(answers), |layer| layer).await
}

/// The counts of `site`.
const STATS: &str = "\
STATE         RECORDS  BYTES  OLDEST
in-doubt            2    4 B  3m 12s
abandoned           1    0 B  3m 12s
failed              1    4 B  2m 12s
not-retained        1    0 B  10s
in-flight           1    0 B  1m 12s
success             1   13 B  11s
";

/// A store with a record in each state. The clock is paused.
async fn site() -> Site {
    let site = Site::on(DynStore::new(MemoryStore::new()));
    site.every_state(|seconds| advance(Duration::from_secs(seconds))).await;
    site
}
