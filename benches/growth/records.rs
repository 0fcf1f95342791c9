//! Millions of records in memory: the slowest operations while the store grows, and while a million
//! records expire at one time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use rustix::time::{ClockId, clock_gettime};
use tower_idempotency::store::{
    Outcome, Reservation, ReserveRequest, ScopeDigest, StorageKey, Store, StoredBody,
};
use tower_idempotency::{IdempotencyKey, MemoryStore, Scope};

use super::support::process::quantile;
use super::table::Table;

const MILLION: u64 = 1_000_000;
const DAY: Duration = Duration::from_hours(24);
const OTHERS: u64 = 1 << 40;

fn store(millions: u64) -> MemoryStore {
    let records = ((millions + 2) * MILLION) as usize;
    // The whole load uses one scope.
    MemoryStore::new().max_records(records).max_bytes(records << 10).scope_share(100)
}

/// Millions of records, and what another thread sees meanwhile.
pub(crate) fn run(millions: u64) {
    let columns = [
        "million records",
        "reserve p50 CPU µs",
        "reserve p99.9 CPU µs",
        "reserve p99.999 CPU ms",
        "reserve max CPU ms",
        "complete p99.9 CPU µs",
        "complete max CPU ms",
        "replay p99.9 wall µs",
        "replay max wall ms",
        "bytes per record",
    ];
    let mut table = Table::new("records", &columns);
    let store = store(millions);
    let writer = Writer::new(&store);
    for other in 0..1024 {
        writer.first(OTHERS + other, DAY);
    }
    let before = resident();
    for million in 0..millions {
        let (ended, others) = (Arc::new(AtomicBool::new(false)), Writer::new(&store));
        let others = std::thread::spawn({
            let ended = ended.clone();
            move || others.replays_until(&ended)
        });
        let mut times = Times::default();
        for number in million * MILLION..(million + 1) * MILLION {
            let (reserve, complete) = writer.first(number, DAY);
            times.reserve.push(reserve);
            times.complete.push(complete);
        }
        ended.store(true, Ordering::Relaxed);
        let mut replays = others.join().unwrap();
        let records = (million + 1) * MILLION;
        table.row(vec![
            (million + 1).to_string(),
            microseconds(&mut times.reserve, 0.5),
            microseconds(&mut times.reserve, 0.999),
            milliseconds(&mut times.reserve, 0.99999),
            milliseconds(&mut times.reserve, 1.0),
            microseconds(&mut times.complete, 0.999),
            milliseconds(&mut times.complete, 1.0),
            microseconds(&mut replays, 0.999),
            milliseconds(&mut replays, 1.0),
            format!("{:.0}", (resident() - before) / records as f64),
        ]);
    }
    table.write();
}

/// A million records that expire at one time, and the operations before and after.
pub(crate) fn expire() {
    let columns = [
        "operations",
        "reserve p50 CPU µs",
        "reserve p99.9 CPU µs",
        "reserve p99.999 CPU ms",
        "reserve max CPU ms",
        "process MiB",
    ];
    let mut table = Table::new("expiry", &columns);
    let store = store(2);
    let writer = Writer::new(&store);
    let patience = Duration::from_secs(20);
    let start = Instant::now();
    for number in 0..MILLION {
        writer.first(number, patience.saturating_sub(start.elapsed()));
    }
    assert!(start.elapsed() < patience, "the machine is too slow");
    let mut numbers = MILLION..;
    let mut span = |name: &str, operations: usize| {
        let mut times: Vec<f64> =
            numbers.by_ref().take(operations).map(|number| writer.first(number, DAY).0).collect();
        table.row(vec![
            name.to_owned(),
            microseconds(&mut times, 0.5),
            microseconds(&mut times, 0.999),
            milliseconds(&mut times, 0.99999),
            milliseconds(&mut times, 1.0),
            format!("{:.0}", resident() / 1_048_576.0),
        ]);
    };
    span("the last 10 000 before it", 10_000);
    std::thread::sleep(patience.saturating_sub(start.elapsed()) + Duration::from_secs(1));
    span("1 to 50 after it", 50);
    span("51 to 100", 50);
    span("101 to 200", 100);
    span("201 to 10 000", 9_800);
    span("a million more", 1_000_000);
    table.write();
}

/// What it costs to reject a new key in a full store, and in a scope above its share.
pub(crate) fn full() {
    const RECORDS: u64 = 200_000;
    let mut table = Table::new("full", &["full", "rejection CPU µs"]);
    let scope = ScopeDigest::of(None, &Scope::new("growth"));
    for (name, scope, records) in
        [("the store", ScopeDigest::UNSET, RECORDS), ("the scope", scope, RECORDS / 2)]
    {
        let store = MemoryStore::new().max_records(RECORDS as usize).scope_share(50);
        let writer = Writer::new(&store);
        let reserve = |number| {
            let request = writer.request(number, DAY).scope(scope);
            cpu(|| writer.runtime.block_on(store.reserve(&request)))
        };
        assert!((0..records).all(|number| reserve(number).1.is_ok()));
        let mut times: Vec<f64> = (OTHERS..OTHERS + 2000)
            .map(|number| {
                let (time, result) = reserve(number);
                assert!(result.is_err(), "there is no capacity");
                time
            })
            .collect();
        table.row(vec![name.to_owned(), microseconds(&mut times, 0.5)]);
    }
    table.write();
}

#[derive(Default)]
struct Times {
    reserve: Vec<f64>,
    complete: Vec<f64>,
}

/// One thread that uses the store, and measures it.
struct Writer {
    store: MemoryStore,
    runtime: tokio::runtime::Runtime,
    scope: Scope,
    outcome: Outcome,
}

impl Writer {
    fn new(store: &MemoryStore) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let body = StoredBody::Whole { bytes: "n".repeat(300).into(), trailers: None };
        let outcome = Outcome::new(StatusCode::CREATED, body);
        let scope = Scope::new("growth");
        Self { store: store.clone(), runtime, scope, outcome }
    }

    fn request(&self, number: u64, retention: Duration) -> ReserveRequest {
        let key = IdempotencyKey::parse(format!("{number:036}").as_bytes()).unwrap();
        let key = StorageKey::derive(None, "growth", &self.scope, &key);
        let fingerprint = tower_idempotency::Fingerprint::of_fields([b"growth"]);
        ReserveRequest::new(key, fingerprint).retention(retention)
    }

    /// The CPU seconds that reserve and complete take.
    fn first(&self, number: u64, retention: Duration) -> (f64, f64) {
        let request = self.request(number, retention);
        let reserve = self.store.reserve(&request);
        let (reserve, reserved) = cpu(|| self.runtime.block_on(reserve).unwrap());
        let Reservation::Acquired(lease) = reserved else { panic!("the key is new") };
        let complete = self.store.complete(&lease, &self.outcome, retention);
        let (complete, _) = cpu(|| self.runtime.block_on(complete).unwrap());
        (reserve, complete)
    }

    fn replays_until(self, ended: &AtomicBool) -> Vec<f64> {
        let requests: Vec<_> = (0..1024).map(|other| self.request(OTHERS + other, DAY)).collect();
        let mut times = Vec::new();
        for request in requests.iter().cycle() {
            let reserve = self.store.reserve(request);
            let (time, reserved) = wall(|| self.runtime.block_on(reserve).unwrap());
            assert!(!matches!(reserved, Reservation::Acquired(_)), "the record is there");
            times.push(time);
            if ended.load(Ordering::Relaxed) {
                break;
            }
        }
        times
    }
}

/// The seconds that an operation takes.
fn wall<T>(operation: impl FnOnce() -> T) -> (f64, T) {
    let start = Instant::now();
    let result = operation();
    (start.elapsed().as_secs_f64(), result)
}

/// The seconds of CPU time that it takes in this thread. Others use the machine too, and their
/// turns do not count.
fn cpu<T>(operation: impl FnOnce() -> T) -> (f64, T) {
    let start = thread_time();
    let result = operation();
    (thread_time() - start, result)
}

fn thread_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn microseconds(times: &mut [f64], share: f64) -> String {
    format!("{:.1}", quantile(times, share) * 1e6)
}

fn milliseconds(times: &mut [f64], share: f64) -> String {
    format!("{:.2}", quantile(times, share) * 1e3)
}

/// The resident bytes of this process.
fn resident() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<f64>().unwrap() * 4096.0
}
