#![allow(clippy::unwrap_used)]

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::Notify;

use super::*;

const BEAT: Duration = Duration::from_millis(50);

/// Asks for a renewal after each beat, and records each call.
struct Lease {
    calls: Mutex<Vec<Instant>>,
    called: Notify,
}

impl Lease {
    fn new() -> Arc<Self> {
        Arc::new(Self { calls: Mutex::default(), called: Notify::new() })
    }

    fn calls(&self) -> usize {
        lock(&self.calls).len()
    }

    async fn called(&self, times: usize) {
        let called = async {
            while self.calls() < times {
                self.called.notified().await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), called).await.unwrap();
    }
}

impl Renew for Lease {
    fn renew(self: Arc<Self>) -> Pin<Box<dyn Future<Output = Option<Instant>> + Send>> {
        Box::pin(async move {
            let now = Instant::now();
            lock(&self.calls).push(now);
            self.called.notify_one();
            Some(now + BEAT)
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_when_it_is_due_and_at_the_instants_that_it_returns() {
    let (renewals, start) = (Renewals::default(), Instant::now());
    let (late, early) = (Lease::new(), Lease::new());
    renewals.add(start + 3 * BEAT, &late);
    renewals.add(start + BEAT, &early);
    late.called(2).await;
    assert_eq!(*lock(&late.calls), [3, 4].map(|beat| start + beat * BEAT));
    assert_eq!(lock(&early.calls)[..3], [1, 2, 3].map(|beat| start + beat * BEAT));
}

#[tokio::test(start_paused = true)]
async fn the_lease_of_an_ended_attempt_is_not_renewed() {
    let renewals = Renewals::default();
    let (ended, running) = (Lease::new(), Lease::new());
    for lease in [&ended, &running] {
        renewals.add(Instant::now() + BEAT, lease);
    }
    let weak = Arc::downgrade(&ended);
    drop(ended);
    running.called(2).await;
    assert_eq!(weak.strong_count(), 0);
    drop(renewals);
    let calls = running.calls();
    tokio::time::sleep(10 * BEAT).await;
    assert!(running.calls() <= calls + 1, "the renewals end with the layer");
}

#[tokio::test(start_paused = true)]
async fn the_entries_of_ended_attempts_do_not_accumulate() {
    let renewals = Renewals::default();
    let (running, hour) = (Lease::new(), Duration::from_hours(1));
    renewals.add(Instant::now() + hour, &running);
    for _ in 0..10_000 {
        renewals.add(Instant::now() + hour, &Lease::new());
    }
    assert!(lock(&renewals.queue.leases).due.len() <= 100);
    tokio::time::sleep(hour).await;
    running.called(1).await;
}

#[test]
fn renewals_go_on_where_the_attempt_runs_when_the_first_runtime_blocks_or_is_gone() {
    let renewals = Arc::new(Renewals::default());
    let (first, second) = (Lease::new(), Lease::new());
    let (end, ended) = mpsc::channel::<()>();
    let (blocks, is_blocked) = mpsc::channel();
    let other = thread::spawn({
        let (renewals, first) = (Arc::clone(&renewals), Arc::clone(&first));
        move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                renewals.add(Instant::now() + BEAT, &first);
                first.called(1).await;
                blocks.send(()).unwrap();
                let _ = ended.recv();
            });
        }
    });
    is_blocked.recv().unwrap();
    let here = Builder::new_current_thread().enable_all().build().unwrap();
    here.block_on(async {
        renewals.add(Instant::now() + BEAT, &second);
        second.called(3).await;
        drop(end);
        other.join().unwrap();
        // A lease that is added now starts a task on this runtime.
        renewals.add(Instant::now() + BEAT, &Lease::new());
        let calls = second.calls();
        second.called(calls + 3).await;
    });
}

/// One of two workers blocks, and it may be the one that drives the timers of tokio.
#[test]
fn a_renewal_that_the_runtime_does_not_make_in_time_is_made_from_outside() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (renewals, lease) = (Renewals::default(), Lease::new());
    let (end, ended) = mpsc::channel::<()>();
    let attempt = runtime.spawn({
        let lease = Arc::clone(&lease);
        async move {
            renewals.add(Instant::now() + BEAT, &lease);
            let _ = ended.recv();
        }
    });
    let here = Builder::new_current_thread().enable_all().build().unwrap();
    here.block_on(lease.called(5));
    drop(end);
    runtime.block_on(attempt).unwrap();
}
