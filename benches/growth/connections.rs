//! From one connection to 1,024: the rate as a share of the bare handler's, and the CPU that is
//! added per request.

use std::time::Duration;

use super::load::{HEADER, Keys, Load};
use super::support::Redis;
use super::support::process::{OTHER_CORE, Server, flush, median, nonce};
use super::table::Table;

const ROUNDS: usize = 5;
const BOUND: Duration = Duration::from_millis(400);

pub(crate) fn run() {
    let redis = Redis::start(&["taskset", "-c", OTHER_CORE]);
    let columns = ["path", "connections", "ratio", "per second", "bare µs", "added µs"];
    let mut table = Table::new("connections", &columns);
    for store in ["memory", "Redis"] {
        let url = redis.url();
        let stack = if store == "memory" { "memory" } else { &url };
        for (kind, keys) in [("first", Keys::Unique), ("replay", Keys::Pool(1024))] {
            for connections in [1, 4, 16, 64, 256, 1024] {
                let load = Load {
                    address: String::new(),
                    path: "/payments".into(),
                    header: HEADER,
                    keys,
                    body: 200,
                    connections,
                };
                let mut cells = vec![format!("{store}: {kind}"), connections.to_string()];
                cells.extend(compare(stack, &redis, &load));
                table.row(cells);
            }
        }
    }
    table.write();
}

/// Bare and guarded in turns.
fn compare(stack: &str, redis: &Redis, load: &Load) -> [String; 4] {
    let (bare, guarded) = (Server::start(&["--serve", "bare"]), Server::start(&["--serve", stack]));
    let rounds: Vec<_> = (0..ROUNDS)
        .map(|_| {
            flush(redis);
            let without = turn(&bare, &Load { keys: Keys::None, ..load.clone() });
            (without, turn(&guarded, load))
        })
        .collect();
    let of = |figure: fn(&(Turn, Turn)) -> f64| median(rounds.iter().map(figure).collect());
    [
        format!("{:.2}", of(|(bare, guarded)| guarded.rate / bare.rate)),
        format!("{:.0}", of(|(_, guarded)| guarded.rate)),
        format!("{:.1}", of(|(bare, _)| bare.cpu)),
        format!("{:.1}", of(|(bare, guarded)| guarded.cpu - bare.cpu)),
    ]
}

struct Turn {
    rate: f64,
    cpu: f64,
}

fn turn(server: &Server, load: &Load) -> Turn {
    let load = Load { address: server.address.clone(), ..load.clone() };
    let of_warm_up = nonce();
    let nonce = if let Keys::Pool(size) = load.keys {
        load.run(of_warm_up, size, Duration::from_secs(10));
        of_warm_up
    } else {
        load.run(of_warm_up, u64::MAX, BOUND / 8);
        of_warm_up + 1
    };
    let before = server.process.cpu();
    let counted = load.run(nonce, u64::MAX, BOUND);
    let cpu = (server.process.cpu() - before) / counted.responses as f64;
    Turn { rate: counted.per_second(), cpu }
}
