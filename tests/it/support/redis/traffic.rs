//! Operations on a store while its servers fail, and what became of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tower_idempotency::store::{
    Outcome, Reservation, ReserveRequest, Settlement, State, StorageKey, Store, StoreError,
    StoredBody,
};
use tower_idempotency::{Fingerprint, IdempotencyKey, RedisStore, Scope};

/// As long as any of the tests takes.
pub(crate) const RETENTION: Duration = Duration::from_mins(10);
/// How long callers wait for an operation: the store timeout of a layer, unless it is set.
pub(crate) const PATIENT: Duration = Duration::from_secs(2);
/// How long an operation may take, whatever happens: the time that its callers wait, and the same
/// again for a busy machine.
pub(crate) const BOUND: Duration = Duration::from_secs(4);
/// A store timeout that is shorter than the time that the connection gives a server for its reply.
pub(crate) const IMPATIENT: Duration = Duration::from_millis(150);
/// How long it may take to be back once the servers are.
pub(crate) const BACK: Duration = Duration::from_secs(5);

pub(crate) fn request(key: &str) -> ReserveRequest {
    let parsed = IdempotencyKey::parse(key.as_bytes()).unwrap();
    ReserveRequest::new(
        StorageKey::derive(None, "traffic", &Scope::anonymous(), &parsed),
        Fingerprint::of_request(&Method::POST, "/", &HeaderMap::new(), &[], key.as_bytes()),
    )
    .lease(Duration::from_secs(30))
    .retention(RETENTION)
}

pub(crate) fn response(body: impl Into<Bytes>) -> Outcome {
    Outcome::new(StatusCode::CREATED, StoredBody::Whole { bytes: body.into(), trailers: None })
}

/// Tries until there is service; a machine that is very busy can make a group change its primary at
/// any time.
pub(crate) async fn served<T>(
    bound: Duration,
    mut attempt: impl AsyncFnMut() -> Result<T, StoreError>,
) -> T {
    let start = Instant::now();
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(error) => assert!(start.elapsed() < bound, "no service after {bound:?}: {error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Executes under keys that begin with `name` until one of them is stored, and tells which.
pub(crate) async fn stored(store: &RedisStore, name: &str, bound: Duration) -> String {
    let mut attempt = 0;
    served(bound, async || {
        attempt += 1;
        let key = format!("{name}-{attempt}");
        execute(store, &key, key.clone()).await.map(|()| key)
    })
    .await
}

/// A first execution: two operations of the store.
pub(crate) async fn execute(
    store: &RedisStore,
    key: &str,
    body: impl Into<Bytes>,
) -> Result<(), StoreError> {
    match store.reserve(&request(key)).await? {
        Reservation::Acquired(lease) => {
            let settled = store.complete(&lease, &response(body), RETENTION).await?;
            assert_eq!(settled, Settlement::Applied, "{key}");
            Ok(())
        }
        Reservation::Found(found) => panic!("{key} is there already: {found:?}"),
    }
}

/// The body that is stored under a key.
pub(crate) async fn stored_body(
    store: &RedisStore,
    key: &str,
) -> Result<Option<Bytes>, StoreError> {
    match store.reserve(&request(key)).await? {
        Reservation::Found(found) => match found.state {
            State::Success(outcome) => Ok(Some(Bytes::copy_from_slice(outcome.bytes()))),
            _ => Ok(None),
        },
        Reservation::Acquired(lease) => {
            assert_eq!(store.release(&lease).await?, Settlement::Applied, "{key}");
            Ok(None)
        }
    }
}

/// First executions, one after another in each of several tasks, until they are told to stop.
pub(crate) struct Traffic {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Vec<Call>>>,
}

struct Call {
    end: Instant,
    took: Duration,
    failed: bool,
}

/// What became of the traffic from one moment on.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) calls: usize,
    pub(crate) failed: usize,
    /// From that moment to the last failure.
    pub(crate) healed: Duration,
    /// The slowest operation of the store.
    pub(crate) slowest: Duration,
}

impl Traffic {
    /// Each operation is dropped after `patience`, as the layer does with one that takes too long.
    pub(crate) fn start(store: &RedisStore, patience: Duration) -> Self {
        static KEYS: AtomicU32 = AtomicU32::new(0);
        let stop = Arc::new(AtomicBool::new(false));
        let run = || {
            let (store, stop) = (store.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut calls = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let key = format!("traffic-{}", KEYS.fetch_add(1, Ordering::Relaxed));
                    let start = Instant::now();
                    let reserved = timeout(patience, store.reserve(&request(&key))).await;
                    let end = Instant::now();
                    calls.push(Call {
                        end,
                        took: end - start,
                        failed: !matches!(reserved, Ok(Ok(_))),
                    });
                    if let Ok(Ok(Reservation::Acquired(lease))) = reserved {
                        let response = response("paid");
                        let completed = store.complete(&lease, &response, RETENTION);
                        let completed = timeout(patience, completed).await;
                        let took = end.elapsed();
                        calls.push(Call {
                            end: Instant::now(),
                            took,
                            failed: !matches!(completed, Ok(Ok(_))),
                        });
                    }
                    // Some hundred calls a second are enough, and leave the servers the time to do
                    // their part.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                calls
            })
        };
        let tasks = (0..8).map(|_| run()).collect();
        Self { stop, tasks }
    }

    /// Ends it, and tells what became of it since `moment`.
    pub(crate) async fn since(self, moment: Instant) -> Account {
        self.stop.store(true, Ordering::Relaxed);
        let mut account =
            Account { calls: 0, failed: 0, healed: Duration::ZERO, slowest: Duration::ZERO };
        for task in self.tasks {
            for call in task.await.unwrap().into_iter().filter(|call| call.end > moment) {
                account.calls += 1;
                account.slowest = account.slowest.max(call.took);
                if call.failed {
                    account.failed += 1;
                    account.healed = account.healed.max(call.end - moment);
                }
            }
        }
        account
    }
}

/// A runtime whose threads have a name of their own, so that they can be counted.
pub(crate) struct Runtime {
    runtime: tokio::runtime::Runtime,
    name: &'static str,
}

impl Runtime {
    pub(crate) fn new(name: &'static str) -> Self {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).thread_name(name).enable_all().build().unwrap();
        Self { runtime, name }
    }

    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    pub(crate) fn spawn<F: Future<Output: Send> + Send + 'static>(
        &self,
        future: F,
    ) -> JoinHandle<F::Output> {
        self.runtime.spawn(future)
    }

    /// How many tasks and how many threads there are. Threads are counted where the system tells of
    /// them.
    pub(crate) fn alive(&self) -> (usize, usize) {
        let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        let names =
            threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("comm")).ok());
        (
            self.runtime.metrics().num_alive_tasks(),
            names.filter(|name| name.trim() == self.name).count(),
        )
    }

    /// Runs a thousand operations that fail, and holds that they are bounded and leave neither task
    /// nor thread.
    pub(crate) fn leaves_nothing_behind(&self, store: &RedisStore) {
        let before = self.alive();
        self.block_on(async {
            for round in 0..10 {
                let calls = (0..100).map(|number| {
                    let (store, key) = (store.clone(), format!("lost-{round}-{number}"));
                    tokio::spawn(async move {
                        let start = Instant::now();
                        assert!(store.reserve(&request(&key)).await.is_err());
                        start.elapsed()
                    })
                });
                for call in calls.collect::<Vec<_>>() {
                    let took = call.await.unwrap();
                    assert!(took < BOUND, "{took:?}");
                }
            }
        });
        super::node::until("tasks and threads as before", || {
            let (tasks, threads) = self.alive();
            tasks <= before.0 && threads <= before.1
        });
    }
}
