//! Starts the servers, sends the load, and prints the ratios.

use std::time::Duration;

use super::load::{HEADER, Keys, Load};
use super::support::Redis;
use super::support::process::{OTHER_CORE, Server, cpu, flush, info, median, nonce};

/// Many short turns, because the speed of a shared machine changes within seconds.
const ROUNDS: usize = 25;
const BOUND: Duration = Duration::from_millis(400);

/// Requests per second; per request, the microseconds of CPU in the server and in Redis, and the
/// reads of Redis.
struct Figures {
    rate: f64,
    server: f64,
    redis: f64,
    reads: f64,
}

fn turn(server: &Server, redis: Option<&Redis>, load: &Load, nonce: u64) -> Figures {
    let load = Load { address: server.address.clone(), ..load.clone() };
    load.run(nonce, u64::MAX, BOUND / 8);
    // The warm-up has already used the first keys.
    let nonce = if load.keys == Keys::Unique { nonce + 1 } else { nonce };
    let redis_cpu = || redis.map_or(0.0, |redis| cpu(redis.id()));
    let redis_reads = || redis.map_or(0.0, |redis| info(redis, "total_reads_processed"));
    let reads_before = redis_reads();
    let (server_before, redis_before) = (server.process.cpu(), redis_cpu());
    let counted = load.run(nonce, u64::MAX, BOUND);
    let responses = counted.responses as f64;
    Figures {
        rate: counted.per_second(),
        server: (server.process.cpu() - server_before) / responses,
        redis: (redis_cpu() - redis_before) / responses,
        reads: (redis_reads() - reads_before) / responses,
    }
}

/// Measures bare and guarded in turns and prints the medians.
fn compare(name: &str, stack: &str, redis: Option<&Redis>, load: &Load) {
    let bare = Server::start(&["--serve", "bare"]);
    let guarded = Server::start(&["--serve", stack]);
    let rounds: Vec<(Figures, Figures)> = (0..ROUNDS)
        .map(|_| {
            if let Some(redis) = redis {
                flush(redis);
            }
            let nonce = nonce();
            let without = turn(&bare, None, &Load { keys: Keys::None, ..load.clone() }, nonce);
            (without, turn(&guarded, redis, load, nonce))
        })
        .collect();
    let of_rounds =
        |figure: fn(&(Figures, Figures)) -> f64| median(rounds.iter().map(figure).collect());
    println!(
        "{name:34} {:5.2} {:8.0} {:9.2} {:+9.2} {:9.2} {:9.2} {:9.3}",
        of_rounds(|(without, with)| with.rate / without.rate),
        of_rounds(|(_, with)| with.rate),
        of_rounds(|(without, _)| without.server),
        of_rounds(|(without, with)| with.server - without.server),
        of_rounds(|(_, with)| with.redis),
        of_rounds(|(without, with)| with.redis / without.server),
        of_rounds(|(_, with)| with.reads),
    );
}

pub(crate) fn all() {
    let only = std::env::var("ONLY").unwrap_or_default();
    let load = Load {
        address: String::new(),
        path: "/payments".into(),
        header: HEADER,
        keys: Keys::Unique,
        body: 200,
        connections: 64,
    };
    // The warm-up of each turn sends each key of the pool once.
    let replays = Load { keys: Keys::Pool(256), ..load.clone() };
    let with_path = |path: &str| Load { path: path.into(), ..load.clone() };
    println!("{:34} ratio    req/s   bare µs  added µs  redis µs  of bare    reads", "path");
    let run = |name: &str, stack: &str, redis: Option<&Redis>, load: &Load| {
        if name.contains(&only) {
            compare(name, stack, redis, load);
        }
    };
    let no_key = Load { keys: Keys::None, ..load.clone() };
    run("no key, an empty from_fn", "from_fn", None, &no_key);
    run("no key", "memory", None, &no_key);
    run("memory, first", "memory", None, &load);
    run("memory, replay", "memory", None, &replays);
    for (name, body) in [("request of 16 KiB", 16 << 10), ("request of 256 KiB", 256 << 10)] {
        run(name, "nothing", None, &Load { body, ..with_path("/swallow") });
    }
    memory_record(&only, &load);
    if cfg!(feature = "redis") {
        let redis = Redis::start(&["taskset", "-c", OTHER_CORE]);
        run("Redis, first", &redis.url(), Some(&redis), &load);
        run("Redis, replay", &redis.url(), Some(&redis), &replays);
        let large = with_path("/payments?response=16384");
        run("Redis, response of 16 KiB, first", &redis.url(), Some(&redis), &large);
        let large = Load { keys: Keys::Pool(256), ..large };
        run("Redis, response of 16 KiB, replay", &redis.url(), Some(&redis), &large);
        redis_record(&only, &redis, &load);
    }
}

const RECORDS: u64 = 200_000;

fn fill(stack: &str, load: &Load) -> (Server, f64) {
    let server = Server::start(&["--serve", stack]);
    let load = Load { address: server.address.clone(), ..load.clone() };
    load.run(1, 1000, Duration::from_mins(2));
    let before = server.process.resident_bytes();
    let counted = load.run(2, RECORDS, Duration::from_mins(2));
    let after = server.process.resident_bytes();
    (server, (after - before) / counted.responses as f64)
}

fn memory_record(only: &str, load: &Load) {
    if "bytes per record".contains(only) {
        let (_server, bytes) = fill("memory", load);
        println!("{:34} {bytes:5.0}", "bytes per record, memory");
    }
}

fn redis_record(only: &str, redis: &Redis, load: &Load) {
    if "bytes per record".contains(only) {
        flush(redis);
        let before = info(redis, "used_memory");
        let (_server, _) = fill(&redis.url(), load);
        let bytes = (info(redis, "used_memory") - before) / (RECORDS + 1000) as f64;
        println!("{:34} {bytes:5.0}", "bytes per record, Redis");
    }
}
