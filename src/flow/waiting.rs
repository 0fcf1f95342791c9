//! Those who wait for the same answer in this process, so that one of them asks the store for all.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{OwnedMutexGuard, watch};
use tokio::time::Instant;

use crate::record::fingerprint::Fingerprint;
use crate::record::key::StorageKey;
use crate::runtime::lock::lock;
use crate::store::{PendingRef, Record, StoreErrorKind, Token};

/// For so long nobody in a line looks again where somebody has looked, when the turn goes on to the next one.
const FRESH: Duration = Duration::from_millis(300);

type Name = (StorageKey, [u8; Fingerprint::LEN]);

/// One line for each request that somebody in this process waits for, or makes.
///
/// Whoever has the turn deals with the store: reserves, asks again and again, or runs the operation. What it learns it
/// tells to all in the line; if it leaves without a word, the next one has the turn. A thousand repeats of a request
/// cost the store no more than one.
#[derive(Default)]
pub(crate) struct Lines(Mutex<HashMap<Name, Arc<Line>>>);

struct Line {
    /// Changes only under the guard of [`Lines`].
    places: AtomicUsize,
    turn: Arc<tokio::sync::Mutex<Progress>>,
    news: watch::Sender<Option<News>>,
}

/// How far the line has come; handed on with the turn.
#[derive(Default)]
struct Progress {
    round: u32,
    awaited: Option<Token>,
    looked: Option<(PendingRef, Instant)>,
}

/// How the wait for a turn ended.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for a moment, and a box would cost more than the move"
)]
pub(crate) enum Turn<I> {
    /// The one who waited deals with the store now, until it leaves.
    Mine,
    News(News),
    Interrupted(I),
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
    /// The store could not be asked, or has rejected the reservation; and when it may be asked again.
    Unavailable(StoreErrorKind, Option<Duration>),
}

impl Lines {
    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Arc<Line>>> {
        lock(&self.0)
    }

    /// Takes the last place in the line of a request.
    pub(crate) fn join(self: &Arc<Self>, key: StorageKey, fingerprint: Fingerprint) -> Place {
        let name = (key, fingerprint.to_bytes());
        let mut lines = self.lock();
        let line = lines.entry(name).or_insert_with(|| {
            Arc::new(Line {
                places: AtomicUsize::new(0),
                turn: Arc::default(),
                news: watch::Sender::new(None),
            })
        });
        line.places.fetch_add(1, Ordering::Relaxed);
        Place { lines: Arc::clone(self), name, line: Arc::clone(line), turn: None }
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
    /// Whether the turn can be had without a wait.
    pub(crate) fn is_first(&self) -> bool {
        self.line.turn.try_lock().is_ok()
    }

    /// Waits for the turn. News that are told before count for more, and so does an interruption; whoever tells news
    /// leaves afterwards, and the turn is then free too.
    pub(crate) async fn turn<I>(&mut self, interrupted: impl Future<Output = I>) -> Turn<I> {
        if let Ok(turn) = Arc::clone(&self.line.turn).try_lock_owned()
            && self.line.news.borrow().is_none()
        {
            self.turn = Some(turn);
            return Turn::Mine;
        }
        let mut news = self.line.news.subscribe();
        tokio::select! {
            biased;
            Ok(told) = news.wait_for(Option::is_some) => match &*told {
                Some(told) => Turn::News(told.clone()),
                None => unreachable!("it was waited for"),
            },
            interruption = interrupted => Turn::Interrupted(interruption),
            turn = Arc::clone(&self.line.turn).lock_owned() => {
                self.turn = Some(turn);
                Turn::Mine
            }
        }
    }

    /// The attempt that the line first waited for, if it waits for one. Whoever has the turn knows best.
    pub(crate) fn awaited(&self) -> Option<Token> {
        self.turn.as_ref().and_then(|progress| progress.awaited)
    }

    /// What was in flight a moment ago, if somebody in the line has looked.
    pub(crate) fn seen(&self) -> Option<PendingRef> {
        let (seen, at) = self.turn.as_ref()?.looked?;
        (at.elapsed() < FRESH).then_some(seen)
    }

    /// Notes that somebody else's attempt is in flight.
    pub(crate) fn saw(&mut self, seen: PendingRef) {
        if let Some(progress) = &mut self.turn {
            progress.awaited.get_or_insert(seen.token);
            progress.looked = Some((seen, Instant::now()));
        }
    }

    /// Notes that this place makes an attempt. If it is the first since the key was free, those behind wait for it; if
    /// it is made in place of a failed one, they still wait for that, and do not make a third.
    pub(crate) fn makes(&mut self, attempt: Token, is_first: bool) {
        if let Some(progress) = &mut self.turn {
            if is_first {
                progress.awaited = Some(attempt);
            }
            progress.awaited.get_or_insert(attempt);
            progress.looked = None;
        }
    }

    /// Tells how often the line has waited for the store before, and counts one more.
    pub(crate) fn next_round(&mut self) -> u32 {
        let Some(progress) = &mut self.turn else {
            return 0;
        };
        let round = progress.round;
        progress.round = round.saturating_add(1);
        round
    }

    /// Tells all others in the line, if there are any, and ends it: whoever comes later begins a new one.
    pub(crate) fn tell(&self, news: impl FnOnce() -> News) {
        let mut lines = self.lines.lock();
        if lines.get(&self.name).is_some_and(|line| Arc::ptr_eq(line, &self.line)) {
            lines.remove(&self.name);
        }
        // Nobody can join any more; without anybody else there is nobody to tell.
        let others = self.line.places.load(Ordering::Relaxed) > 1;
        drop(lines);
        if others {
            self.line.news.send_replace(Some(news()));
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Place")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lines = self.lines.lock();
        let last = self.line.places.fetch_sub(1, Ordering::Relaxed) == 1;
        if last && lines.get(&self.name).is_some_and(|line| Arc::ptr_eq(line, &self.line)) {
            lines.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests;
