//! The server that is counted. It notes the counts of its process when a request comes in.

use std::io::{Write, stdin, stdout};
use std::sync::Mutex;

use axum::middleware::{Next, from_fn};
use axum::serve::ListenerExt;
use axum::{Router, ServiceExt};
use tower::ServiceBuilder;
use tower_idempotency::{MemoryStore, RedisStore};

use super::counters::counts;
use super::http_server::{bare, layer};
use super::{limit, told};

/// The counts when each request came in, since the last report.
static MARKS: Mutex<Vec<[u64; 4]>> = Mutex::new(Vec::new());

/// A vector that grows would count.
const MOST_MARKS: usize = 1 << 16;

/// Serves until its input ends. The first line of its output is the address. It reports on each
/// line of its input.
pub(crate) fn serve(stack: &str, url: &str) {
    MARKS.lock().unwrap().reserve(MOST_MARKS);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let app = runtime.block_on(app(stack, url));
    runtime.spawn(async {
        // Inside of another service, a router without its state makes its layers for each request.
        let app = ServiceBuilder::new().map_request(mark).service(app.with_state::<()>(()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        stdout().flush().unwrap();
        let listener = listener.tap_io(|tcp| tcp.set_nodelay(true).unwrap());
        axum::serve(listener, app.into_make_service()).await.unwrap();
    });
    for line in stdin().lines() {
        let each = if line.unwrap() == "median" { median } else { mean };
        let [allocations, bytes, copied, tasks] =
            each(&std::mem::take(&mut *MARKS.lock().unwrap()));
        MARKS.lock().unwrap().reserve(MOST_MARKS);
        println!("{allocations} {bytes} {copied} {tasks}");
    }
    // The calls of the system would be counted too, if everything was dropped.
    std::process::exit(0);
}

async fn app(stack: &str, url: &str) -> Router {
    match stack {
        "bare" => bare(),
        "from_fn" => bare().layer(from_fn(|request, next: Next| next.run(request))),
        // The whole load uses one scope.
        "memory" => bare().layer(layer(MemoryStore::new().scope_share(100))),
        // Named by what is told.
        told if told.starts_with("memory with ") => {
            bare().layer(told::install(told, layer(MemoryStore::new().scope_share(100))))
        }
        "redis" => bare().layer(layer(RedisStore::open(url).unwrap())),
        "memory by hand" => limit::memory(),
        "redis by hand" => limit::redis(url).await,
        other => panic!("unknown stack {other}"),
    }
}

fn mark<T>(request: T) -> T {
    let mut marks = MARKS.lock().unwrap();
    if marks.len() < MOST_MARKS {
        marks.push(counts());
    }
    request
}

/// The median of each count between one request and the next. It leaves out maps and buffers that
/// grow.
fn median(marks: &[[u64; 4]]) -> [f64; 4] {
    std::array::from_fn(|count| {
        let mut differences: Vec<u64> =
            marks.windows(2).map(|pair| pair[1][count] - pair[0][count]).collect();
        differences.sort_unstable();
        differences[differences.len() / 2] as f64
    })
}

/// The mean of each count, for requests that overlap. It leaves out the first quarter, in which the
/// buffers of new connections grow.
fn mean(marks: &[[u64; 4]]) -> [f64; 4] {
    let (first, last) = (marks.len() / 4, marks.len() - 1);
    std::array::from_fn(|count| {
        (marks[last][count] - marks[first][count]) as f64 / (last - first) as f64
    })
}
