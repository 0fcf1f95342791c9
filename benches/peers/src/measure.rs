//! Measures the stacks of a row in turns.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::load::{Keys, Load};
use super::rows::Row;
use super::stacks::{Store, has, header};
use super::support::Redis;
use super::support::process::{Server, cpu, flush, info, median, nonce, quantile};

/// Many short turns, because the speed of a shared machine changes within seconds.
const TURN: Duration = Duration::from_millis(400);

/// One stack in one turn: requests per second, and microseconds of CPU per request.
struct Turn {
    rate: f64,
    server: f64,
    redis: f64,
}

/// What a stack does on a path, as medians over the rounds.
pub(crate) struct Figures {
    pub(crate) stack: String,
    /// The rate as a share of that of the bare handler, within a round.
    pub(crate) ratio: f64,
    /// The quartiles of the ratio.
    pub(crate) quartiles: [f64; 2],
    /// CPU of the server that the stack adds to a request.
    pub(crate) added: f64,
    pub(crate) redis: f64,
}

/// The figures of a row. A stack that responds wrongly has an error in their place.
pub(crate) struct Measured {
    pub(crate) bare: f64,
    /// The share of its core that the bare handler uses. A small one means that the load generator
    /// is the limit.
    pub(crate) busy: f64,
    pub(crate) stacks: Vec<Result<Figures, (String, String)>>,
}

struct Runner<'a> {
    stack: &'a str,
    server: Server,
    turns: Vec<Turn>,
    error: Option<String>,
}

pub(crate) fn measure(row: &Row, stacks: &[&str], rounds: usize, redis: &Redis) -> Measured {
    let applies = |stack: &&&str| match row.load.keys {
        // The limit needs a key.
        Keys::None => **stack != "limit",
        _ => has(stack, row.store),
    };
    let url = redis.url();
    let mut runners: Vec<_> = std::iter::once(&"bare")
        .chain(stacks.iter().filter(applies))
        .map(|stack| {
            let in_memory = row.store == Store::Memory && has(stack, Store::Memory);
            let store = if in_memory { "memory" } else { &url };
            let server = Server::start(&["--serve", stack, store, "paid"]);
            Runner { stack, server, turns: Vec::new(), error: None }
        })
        .collect();
    for round in 0..rounds {
        // No stack always follows the same one.
        for of_round in 0..runners.len() {
            let at = (of_round + round) % runners.len();
            runners[at].take_turn(row, redis);
        }
    }
    let bare = runners.remove(0);
    Measured {
        bare: median(bare.turns.iter().map(|turn| turn.server).collect()),
        busy: median(bare.turns.iter().map(|turn| turn.server * turn.rate / 1e6).collect()),
        stacks: runners.into_iter().map(|runner| runner.figures(&bare.turns)).collect(),
    }
}

impl Runner<'_> {
    fn take_turn(&mut self, row: &Row, redis: &Redis) {
        if self.error.is_some() {
            return;
        }
        flush(redis);
        match catch_unwind(AssertUnwindSafe(|| self.turn(row, redis))) {
            Ok(turn) => self.turns.push(turn),
            Err(panic) => self.error = Some(message(&*panic)),
        }
    }

    fn turn(&self, row: &Row, redis: &Redis) -> Turn {
        let keys = if self.stack == "bare" { Keys::None } else { row.load.keys };
        let load = Load {
            address: self.server.address.clone(),
            header: header(self.stack),
            keys,
            ..row.load.clone()
        };
        let nonce = nonce();
        // The warm-up sends each key of a pool once.
        let warm_up = if let Keys::Pool(size) = keys { size } else { u64::MAX };
        let bound = if keys == row.load.keys && warm_up < u64::MAX { TURN * 20 } else { TURN / 8 };
        load.run(nonce, warm_up, bound);
        let nonce = if keys == Keys::Unique { nonce + 1 } else { nonce };
        let (server, of_redis) = (self.server.process.cpu(), cpu(redis.id()));
        let counted = load.run(nonce, u64::MAX, TURN);
        let responses = counted.responses as f64;
        let replays = if matches!(keys, Keys::Pool(_)) { counted.responses } else { 0 };
        // The limit does not mark its replays.
        let marked = if self.stack == "limit" { replays } else { counted.replays };
        assert!(marked == replays, "{marked} replays of {replays}");
        Turn {
            rate: counted.per_second(),
            server: (self.server.process.cpu() - server) / responses,
            redis: (cpu(redis.id()) - of_redis) / responses,
        }
    }

    fn figures(self, bare: &[Turn]) -> Result<Figures, (String, String)> {
        let stack = self.stack.to_owned();
        if let Some(error) = self.error {
            return Err((stack, error));
        }
        let pairs = || self.turns.iter().zip(bare);
        let mut ratios: Vec<f64> = pairs().map(|(with, bare)| with.rate / bare.rate).collect();
        let mut quantile = |of| quantile(&mut ratios, of);
        Ok(Figures {
            stack,
            ratio: quantile(0.5),
            quartiles: [quantile(0.25), quantile(0.75)],
            added: median(pairs().map(|(with, bare)| with.server - bare.server).collect()),
            redis: median(self.turns.iter().map(|turn| turn.redis).collect()),
        })
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref().copied()).unwrap_or("fails").to_owned()
}

const RECORDS: u64 = 200_000;

/// Bytes per record of a stack: of the process for memory, and of Redis otherwise.
pub(crate) fn record(stack: &str, row: &Row, redis: &Redis) -> f64 {
    flush(redis);
    let url = redis.url();
    let store = if row.store == Store::Memory { "memory" } else { &url };
    let server = Server::start(&["--serve", stack, store, "paid"]);
    let load = Load { address: server.address.clone(), header: header(stack), ..row.load.clone() };
    let bytes = || match row.store {
        Store::Memory => server.process.resident_bytes(),
        Store::Redis => info(redis, "used_memory"),
    };
    let bound = Duration::from_mins(2);
    load.run(1, 1000, bound);
    let before = bytes();
    let counted = load.run(2, RECORDS, bound);
    (bytes() - before) / counted.responses as f64
}
