//! Millions of records in Redis: how long operators wait for a list of all of them, and what it
//! takes from the requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use tower_idempotency::store::operator::{ListFilter, ListRequest, StateFilter};
use tower_idempotency::store::{
    Outcome, RecordLabel, Reservation, ReserveRequest, StorageKey, Store, StoredBody,
};
use tower_idempotency::{Fingerprint, IdempotencyKey, RedisStore, Scope};

use super::support::Redis;
use super::support::process::{info, quantile};
use super::table::Table;

const MILLION: u64 = 1_000_000;
const DAY: Duration = Duration::from_hours(24);
/// One record of so many has failed.
const FAILED: u64 = 100_000;
/// How long requests are measured without a list.
const ALONE: Duration = Duration::from_secs(5);

/// Copies records: names are 40 digits of a digest and 24 zeros.
const FILL: &str = "
for number = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  local record = number % tonumber(ARGV[5]) == 0 and ARGV[4] or ARGV[3]
  local name = 'idempotency:' .. redis.sha1hex(number) .. string.rep('0', 24)
  redis.call('SET', name, record, 'PX', 86400000)
end";

/// Lists and counts the records of a Redis, while requests go on.
pub(crate) fn run(millions: u64) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let redis = Redis::start(&[]);
        let store = RedisStore::open(&redis.url()).unwrap();
        fill(&redis, &store, millions * MILLION).await;
        let columns = [
            "beside the requests",
            "found",
            "pages",
            "seconds",
            "Redis CPU s",
            "ping p50 µs",
            "ping p99 µs",
            "ping max ms",
            "same store p50 µs",
            "same store p99 µs",
            "same store max ms",
        ];
        let mut table = Table::new("listing", &columns);
        let nothing = async || {
            tokio::time::sleep(ALONE).await;
            (0, 0)
        };
        row(&mut table, "nothing", &redis, &store, nothing).await;
        row(&mut table, "list of the failed", &redis, &store, async || list(&store).await).await;
        row(&mut table, "nothing", &redis, &store, nothing).await;
        row(&mut table, "statistics", &redis, &store, async || count(&store).await).await;
        table.write();
    });
}

async fn fill(redis: &Redis, store: &RedisStore, records: u64) {
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    let mut template = async |key: &[u8], fails: bool| -> Vec<u8> {
        let key = IdempotencyKey::parse(key).unwrap();
        let key = StorageKey::derive(None, "", &Scope::anonymous(), &key);
        let request = ReserveRequest::new(key, Fingerprint::of_fields(["pay"]))
            .label(Arc::new(RecordLabel::new("payments", "POST /payments/{id}/refunds")));
        let Reservation::Acquired(lease) = store.reserve(&request).await.unwrap() else {
            panic!("the server is empty")
        };
        let bytes = vec![b'x'; 300].into();
        let outcome = Outcome::new(StatusCode::OK, StoredBody::Whole { bytes, trailers: None });
        let settled = if fails {
            store.fail(&lease, None, DAY).await
        } else {
            store.complete(&lease, &outcome, DAY).await
        };
        let _ = settled.unwrap();
        let name = format!("idempotency:{}", key.to_hex());
        redis::cmd("GETDEL").arg(name).query(&mut connection).unwrap()
    };
    let (success, failure) = (template(b"success", false).await, template(b"failure", true).await);
    let fill = redis::Script::new(FILL);
    for first in (0..records).step_by(10_000) {
        let mut fill = fill.prepare_invoke();
        fill.arg(first).arg(first + 9_999).arg(&success).arg(&failure).arg(FAILED);
        fill.invoke::<()>(&mut connection).unwrap();
    }
    println!("{records} records, {} MB", info(redis, "used_memory") / 1e6);
}

async fn list(store: &RedisStore) -> (u64, u64) {
    let failed = ListFilter::new().state(StateFilter::Failed);
    let mut request = ListRequest::new(failed);
    let (mut found, mut pages) = (0, 0);
    loop {
        let page = store.list(&request).await.unwrap();
        found += page.records.len() as u64;
        pages += 1;
        match page.next {
            Some(next) => request = request.after(next),
            None => return (found, pages),
        }
    }
}

async fn count(store: &RedisStore) -> (u64, u64) {
    let (mut found, mut pages, mut after) = (0, 0, None);
    loop {
        let page = store.stats(after.as_ref()).await.unwrap();
        found += page.stats.failed.count + page.stats.success.count;
        pages += 1;
        match page.next {
            Some(next) => after = Some(next),
            None => return (found, pages),
        }
    }
}

async fn row(
    table: &mut Table,
    name: &str,
    redis: &Redis,
    store: &RedisStore,
    work: impl AsyncFnOnce() -> (u64, u64),
) {
    let cpu = || info(redis, "used_cpu_user") + info(redis, "used_cpu_sys");
    let ended = Arc::new(AtomicBool::new(false));
    let beside = std::thread::spawn({
        let (ended, url) = (Arc::clone(&ended), redis.url());
        move || pings(&url, &ended)
    });
    let same = tokio::spawn({
        let (ended, store) = (Arc::clone(&ended), store.clone());
        async move {
            let mut times = Vec::new();
            while !ended.load(Ordering::Relaxed) {
                let start = Instant::now();
                store.ping().await.unwrap();
                times.push(start.elapsed().as_secs_f64());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            times
        }
    });
    let (begun, start) = (cpu(), Instant::now());
    let (found, pages) = work().await;
    let (took, spent) = (start.elapsed().as_secs_f64(), cpu() - begun);
    ended.store(true, Ordering::Relaxed);
    let (mut beside, mut same) = (beside.join().unwrap(), same.await.unwrap());
    let mut cells = vec![name.to_owned(), found.to_string(), pages.to_string()];
    cells.extend([format!("{took:.1}"), format!("{spent:.1}")]);
    for times in [&mut beside, &mut same] {
        cells.push(format!("{:.0}", quantile(times, 0.5) * 1e6));
        cells.push(format!("{:.0}", quantile(times, 0.99) * 1e6));
        cells.push(format!("{:.1}", quantile(times, 1.0) * 1e3));
    }
    table.row(cells);
}

/// Pings over a connection of their own.
fn pings(url: &str, ended: &AtomicBool) -> Vec<f64> {
    let mut connection = redis::Client::open(url).unwrap().get_connection().unwrap();
    let mut times = Vec::new();
    while !ended.load(Ordering::Relaxed) {
        let start = Instant::now();
        redis::cmd("PING").exec(&mut connection).unwrap();
        times.push(start.elapsed().as_secs_f64());
        std::thread::sleep(Duration::from_millis(1));
    }
    times
}
