//! Key sets that are fetched again and again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::KeySet;
use super::fetch::Fetcher;
use crate::telemetry;

/// When a set is fetched.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// The least time between the beginnings of two fetches, whatever tokens say.
    rest: Duration,
    /// The time after which it is fetched without a token that asks for it.
    every: Duration,
    /// The limit of one fetch.
    limit: Duration,
}

const PACE: Pace = Pace {
    rest: Duration::from_secs(10),
    every: Duration::from_mins(5),
    limit: Duration::from_secs(5),
};

/// The key sets of a gateway by their addresses. They stay from one plan to the next.
#[derive(Debug)]
pub(crate) struct KeyServers {
    are_asked: bool,
    servers: HashMap<String, Arc<KeyServer>>,
}

impl KeyServers {
    pub(crate) fn asked() -> Self {
        Self { are_asked: true, servers: HashMap::new() }
    }

    /// Sets that are not fetched, because only the file is checked.
    pub(crate) fn unasked() -> Self {
        Self { are_asked: false, ..Self::asked() }
    }

    /// # Errors
    ///
    /// If the address is malformed: a text that says what to correct.
    pub(super) fn open(&mut self, url: &str) -> Result<Arc<KeyServer>, String> {
        if let Some(server) = self.servers.get(url) {
            return Ok(Arc::clone(server));
        }
        let fetcher = Fetcher::new(url, PACE.limit)?;
        let server = Arc::new(KeyServer::new(fetcher, PACE, self.are_asked));
        self.servers.insert(url.to_owned(), Arc::clone(&server));
        Ok(server)
    }

    /// Forgets all but these.
    pub(crate) fn keep(&mut self, urls: &[String]) {
        self.servers.retain(|url, _| urls.contains(url));
    }
}

/// A key set at an address, which one task fetches.
#[derive(Debug)]
pub(crate) struct KeyServer {
    state: watch::Receiver<State>,
    asked: Arc<Notify>,
    task: Option<JoinHandle<()>>,
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    /// The set of the last fetch that succeeded.
    keys: Option<Arc<KeySet>>,
    has_failed: bool,
    /// How many fetches have ended.
    fetches: u64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    Fetches,
    /// The last fetch was a moment ago.
    Rests,
    /// It fetches as soon as it is asked.
    Waits,
}

impl KeyServer {
    fn new(fetcher: Fetcher, pace: Pace, is_asked: bool) -> Self {
        let (sender, state) = watch::channel(State::default());
        let asked = Arc::new(Notify::new());
        let work = fetch_on_and_on(fetcher, sender, Arc::clone(&asked), pace);
        Self { state, asked, task: is_asked.then(|| tokio::spawn(work)) }
    }

    pub(super) fn known(&self) -> Option<Arc<KeySet>> {
        self.state.borrow().keys.clone()
    }

    pub(super) fn is_out_of_date(&self) -> bool {
        self.state.borrow().has_failed
    }

    /// Waits for the fetch that runs, or for one that begins now. Returns at once if the last one
    /// was a moment ago.
    pub(super) async fn refresh(&self) {
        let mut state = self.state.clone();
        let seen = {
            let state = state.borrow();
            match state.phase {
                Phase::Rests => return,
                Phase::Waits => self.asked.notify_one(),
                Phase::Fetches => {}
            }
            state.fetches
        };
        // An error means that the task has ended, and with it the process.
        let _ = state.wait_for(|state| state.fetches > seen).await;
    }
}

async fn fetch_on_and_on(
    fetcher: Fetcher,
    state: watch::Sender<State>,
    asked: Arc<Notify>,
    pace: Pace,
) {
    loop {
        let begun = Instant::now();
        state.send_modify(|state| state.phase = Phase::Fetches);
        let found = fetcher.fetch().await;
        let has_failed = found.is_err();
        tell(&fetcher, found.as_ref().err(), state.borrow().has_failed);
        state.send_modify(|state| {
            state.phase = Phase::Rests;
            state.has_failed = has_failed;
            state.fetches += 1;
            if let Ok(keys) = found {
                state.keys = Some(Arc::new(keys));
            }
        });
        sleep_until(begun + pace.rest).await;
        if has_failed {
            continue;
        }
        state.send_modify(|state| state.phase = Phase::Waits);
        tokio::select! {
            () = asked.notified() => {}
            () = sleep_until(begun + pace.every) => {}
        }
    }
}

fn tell(fetcher: &Fetcher, error: Option<&String>, had_failed: bool) {
    match error {
        None if had_failed => {
            tracing::info!(jwks = fetcher.name(), "the key set could be fetched again");
        }
        None => {}
        Some(why) => {
            metrics::counter!(telemetry::JWKS_FAILURES).increment(1);
            if !had_failed {
                tracing::warn!(
                    jwks = fetcher.name(),
                    why,
                    "the key set cannot be fetched: known keys stay, a token by another key gets \
                     503, and the fetch is tried again"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests;
