//! Runs one handler behind this crate and its peers in turns, and prints a table of their speed and
//! one of what they guarantee. README.md explains both.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::cast_precision_loss)]

#[path = "../../http/server.rs"]
#[allow(dead_code)]
mod http_server;
#[path = "../../counts/limit.rs"]
mod limit;
#[path = "../../http/load.rs"]
mod load;
mod measure;
mod probed;
mod probes;
mod report;
mod rows;
mod stacks;
#[path = "../../support/mod.rs"]
#[allow(dead_code, unreachable_pub)]
mod support;

use stacks::STACKS;
use support::Redis;
use support::process::{OTHER_CORE, flush};

const USAGE: &str = "peers [speed|probes] [--rows TEXT] [--stacks NAME,NAME] [--rounds N]

  speed, probes  one of the tables; both without it
  --rows         only rows and probes whose name contains the text
  --stacks       of: limit, this crate, idempotent, rustango, hwhkit, from_fn
  --rounds       15 without it

UPDATE_PEERS=1 writes the tables into README.md.";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let ["--serve", stack, store, handlers] =
        arguments.iter().map(String::as_str).collect::<Vec<_>>()[..]
    {
        return stacks::serve(stack, store, handlers);
    }
    let option = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        Some(arguments.get(at + 1).expect(USAGE).as_str())
    };
    if arguments.iter().any(|argument| argument == "--help") {
        return println!("{USAGE}");
    }
    let only = option("--rows").unwrap_or_default();
    let rounds = option("--rounds").map_or(15, |rounds| rounds.parse().expect(USAGE));
    let of = option("--stacks");
    let stacks: Vec<&str> = STACKS
        .into_iter()
        .filter(|stack| of.is_none_or(|names| names.split(',').any(|name| name == *stack)))
        .collect();
    let wanted = |table: &str| match arguments.first().map(String::as_str) {
        Some(first @ ("speed" | "probes")) => first == table,
        _ => true,
    };
    // The load generator is this process.
    let pin = std::process::Command::new("taskset")
        .args(["-a", "-cp", OTHER_CORE, &std::process::id().to_string()])
        .output()
        .unwrap();
    assert!(pin.status.success(), "taskset pins this process to core {OTHER_CORE}");
    let redis = Redis::start(&["taskset", "-c", OTHER_CORE]);
    if wanted("probes") {
        report::publish("probes", &guarantees(&stacks, only, &redis));
    }
    if wanted("speed") {
        report::publish("speed", &speed(&stacks, only, rounds, &redis));
    }
}

fn guarantees(stacks: &[&str], only: &str, redis: &Redis) -> String {
    let guards = |stack: &&str| !["limit", "from_fn"].contains(stack);
    let stacks: Vec<_> = stacks.iter().copied().filter(guards).collect();
    let in_memory: Vec<_> = stacks.iter().copied().filter(|stack| *stack != "hwhkit").collect();
    let mut table = String::new();
    for (store, stacks, url) in
        [("Redis", stacks, redis.url()), ("memory", in_memory, "memory".into())]
    {
        let probes = probes::all(&stacks, &url, only, || flush(redis));
        table += &report::probes(store, &stacks, &probes);
    }
    table
}

fn speed(stacks: &[&str], only: &str, rounds: usize, redis: &Redis) -> String {
    let rows = rows::all().into_iter().filter(|row| row.name.contains(only));
    let rows: Vec<_> = rows
        .map(|row| {
            eprintln!("{}", row.name);
            let measured = measure::measure(&row, stacks, rounds, redis);
            (row, measured)
        })
        .collect();
    let weighed = rows::weighed().into_iter().filter(|row| row.name.contains(only));
    let weighed: Vec<_> = weighed
        .map(|row| {
            eprintln!("{}", row.name);
            let has = |stack: &&&str| stacks::has(stack, row.store);
            let bytes = stacks
                .iter()
                .filter(has)
                .map(|stack| ((*stack).to_owned(), measure::record(stack, &row, redis)));
            (row.name, bytes.collect())
        })
        .collect();
    report::speed(stacks, &rows, &weighed)
}
