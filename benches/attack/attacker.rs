//! The attacker: any number of lanes on one thread, so that the server has the other cores.

use std::future::Future;
use std::process::Command;
use std::thread;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::tally::Tally;

pub(crate) struct Attack(thread::JoinHandle<Tally>);

/// Starts lanes, each with its number. Each runs until `until`, and is cancelled 15 s later.
pub(crate) fn start<F: Future<Output = Tally> + Send + 'static>(
    lanes: usize,
    time: Duration,
    lane: impl Fn(usize, Instant) -> F + Send + 'static,
) -> Attack {
    Attack(thread::spawn(move || {
        give_way();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let until = Instant::now() + time;
            let cut_off = until + Duration::from_secs(15);
            let mut running = JoinSet::new();
            for number in 0..lanes {
                running.spawn(timeout_at(cut_off, lane(number, until)));
            }
            let mut tally = Tally::default();
            for ended in running.join_all().await.into_iter().flatten() {
                tally.merge(ended);
            }
            tally
        })
    }))
}

impl Attack {
    /// The responses to the attacker.
    pub(crate) async fn end(self) -> Tally {
        tokio::task::spawn_blocking(|| self.0.join().unwrap()).await.unwrap()
    }
}

/// Gives this thread a low priority on Linux, because a real attacker has another machine.
fn give_way() {
    let Ok(thread) = std::fs::read_link("/proc/thread-self") else { return };
    let Some(id) = thread.file_name() else { return };
    let _ = Command::new("renice").args(["-n", "10", "-p"]).arg(id).output();
}

/// The token of a lane. Every second lane has none.
pub(crate) fn token(lane: usize) -> Option<&'static str> {
    (lane % 2 == 1).then_some("mallory")
}
