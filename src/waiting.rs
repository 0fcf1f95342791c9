//! Those who wait for the same answer in this process, so that one of them asks the store for all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedMutexGuard, watch};

use crate::fingerprint::Fingerprint;
use crate::key::StorageKey;
use crate::store::{ErrorKind, Record, Token};

type Name = (StorageKey, [u8; Fingerprint::LEN]);

/// One line for each request that somebody in this process waits for, or makes.
///
/// Whoever has the turn deals with the store: reserves, asks again and again, or runs the operation. What it learns it
/// tells to all in the line; if it leaves without a word, the next one has the turn. A thousand repeats of a request
/// cost the store no more than one.
#[derive(Default)]
pub(crate) struct Lines(Mutex<HashMap<Name, Arc<Line>>>);

struct Line {
    turn: Arc<tokio::sync::Mutex<Progress>>,
    news: watch::Sender<Option<News>>,
}

/// How far the line has come; handed on with the turn.
#[derive(Default)]
struct Progress {
    round: u32,
    awaited: Option<Token>,
}

/// What all in a line are told.
#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for a moment, and a box would cost more than the move"
)]
pub(crate) enum News {
    /// The record is no longer in flight.
    Found(Record),
    /// The store could not be asked.
    Unavailable(ErrorKind),
}

impl Lines {
    fn held(&self) -> MutexGuard<'_, HashMap<Name, Arc<Line>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the last place in the line of a request.
    pub(crate) fn join(self: &Arc<Self>, key: StorageKey, fingerprint: Fingerprint) -> Place {
        let name = (key, fingerprint.to_bytes());
        let line = Arc::clone(
            self.held()
                .entry(name)
                .or_insert_with(|| Arc::new(Line { turn: Arc::default(), news: watch::Sender::new(None) })),
        );
        Place { lines: Arc::clone(self), name, line, turn: None }
    }
}

/// A place in a line. To drop it is to leave.
pub(crate) struct Place {
    lines: Arc<Lines>,
    name: Name,
    line: Arc<Line>,
    turn: Option<OwnedMutexGuard<Progress>>,
}

impl Place {
    /// Waits for the turn, unless there are news first. Who has the turn keeps it.
    ///
    /// # Cancel safety
    ///
    /// A wait that is dropped may be begun again, behind all others.
    pub(crate) async fn turn(&mut self) -> Option<News> {
        if self.turn.is_some() {
            return None;
        }
        let mut news = self.line.news.subscribe();
        tokio::select! {
            // Whoever tells news leaves afterwards, so that the turn is free; the news count for more.
            biased;
            Ok(told) = news.wait_for(Option::is_some) => told.clone(),
            turn = Arc::clone(&self.line.turn).lock_owned() => {
                self.turn = Some(turn);
                None
            }
        }
    }

    /// The attempt that the line first waited for, if it waits for one. Whoever has the turn knows best.
    pub(crate) fn awaited(&self) -> Option<Token> {
        self.turn.as_ref().and_then(|progress| progress.awaited)
    }

    /// Notes that the line waits for an attempt, and tells how often it has waited before.
    pub(crate) fn waits_for(&mut self, attempt: Token) -> u32 {
        let Some(progress) = &mut self.turn else {
            return 0;
        };
        progress.awaited.get_or_insert(attempt);
        let round = progress.round;
        progress.round = round.saturating_add(1);
        round
    }

    /// Tells all others in the line, if there are any, and ends it: whoever comes later begins a new one.
    pub(crate) fn tell(&self, news: impl FnOnce() -> News) {
        let mut lines = self.lines.held();
        if lines.get(&self.name).is_some_and(|line| Arc::ptr_eq(line, &self.line)) {
            lines.remove(&self.name);
        }
        drop(lines);
        // Nobody can join any more; without anybody else there is nobody to tell.
        if Arc::strong_count(&self.line) > 1 {
            self.line.news.send_replace(Some(news()));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lines = self.lines.held();
        // Joins are made under the same guard, so the count cannot grow meanwhile: one is the map's and one is ours.
        let last = Arc::strong_count(&self.line) <= 2;
        if last && lines.get(&self.name).is_some_and(|line| Arc::ptr_eq(line, &self.line)) {
            lines.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests;
