//! Bodies of 1 MiB at 64 connections: the peak memory of the server's process.

use std::time::Duration;

use super::load::{HEADER, Keys, Load};
use super::support::Redis;
use super::support::process::{OTHER_CORE, Server, flush, nonce};
use super::table::Table;

const CONNECTIONS: usize = 64;
const REQUESTS: u64 = 1024;
const MIB: f64 = 1_048_576.0;

/// The rows whose name contains `only`. Only a whole table is written.
pub(crate) fn run(only: &str) {
    let redis = Redis::start(&["taskset", "-c", OTHER_CORE]);
    let columns = ["bodies of 1 MiB", "server", "idle MiB", "peak MiB", "10 s later MiB"];
    let mut table = Table::new("bodies", &columns);
    let large = "/payments?response=1048576";
    let cases = [
        ("request", "/swallow", 1 << 20, Keys::Unique),
        ("response: first", large, 200, Keys::Unique),
        ("response: replay", large, 200, Keys::Pool(64)),
    ];
    for (name, path, body, keys) in cases.into_iter().filter(|case| case.0.contains(only)) {
        let url = redis.url();
        for (server, stack) in [("bare", "bare"), ("memory", "memory"), ("Redis", &url)] {
            flush(&redis);
            let keys = if stack == "bare" { Keys::None } else { keys };
            let address = String::new();
            let load = Load {
                address,
                path: path.into(),
                header: HEADER,
                keys,
                body,
                connections: CONNECTIONS,
            };
            let mut cells = vec![name.to_owned(), server.to_owned()];
            cells.extend(peak(stack, &load).map(|bytes| format!("{:.0}", bytes / MIB)));
            table.row(cells);
        }
    }
    if only.is_empty() {
        table.write();
    }
}

/// The resident memory of an idle server, its peak, and what stays.
fn peak(stack: &str, load: &Load) -> [f64; 3] {
    let server = Server::start(&["--serve", stack]);
    let load = Load { address: server.address.clone(), ..load.clone() };
    let idle = server.process.resident_bytes();
    let counted = load.run(nonce(), REQUESTS, Duration::from_mins(2));
    assert_eq!(counted.responses, REQUESTS);
    let peak = server.process.peak_bytes();
    std::thread::sleep(Duration::from_secs(10));
    [idle, peak, server.process.resident_bytes()]
}
