//! Lines of requests that wait for the same response in this process. One of them asks the store
//! for all.

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

/// How long a member trusts what the member before it has read from the store.
const FRESH: Duration = Duration::from_millis(300);

type Name = (StorageKey, [u8; Fingerprint::LEN]);

/// One line for each operation that requests of this process wait for or run.
///
/// The turn is a lock. The member that has it uses the store: it reserves the key, polls the store,
/// or runs the operation. It tells the result to all members. If it leaves without a result, the
/// next member gets the turn. So a thousand retries of a request cost the store as much as one.
#[derive(Default)]
pub(crate) struct Lines(Mutex<HashMap<Name, Arc<Line>>>);

struct Line {
    /// How many members the line has. It changes only under the lock of [`Lines`].
    members: AtomicUsize,
    turn: Arc<tokio::sync::Mutex<Progress>>,
    news: watch::Sender<Option<News>>,
}

/// The state of the line, which passes on with the turn.
#[derive(Default)]
struct Progress {
    /// How often the line has waited for the store.
    round: u32,
    /// The attempt that the line waits for.
    awaited: Option<Token>,
    /// The attempt in flight at the last look, and the time of that look.
    looked: Option<(PendingRef, Instant)>,
}

/// How the wait for a turn ended.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for a moment, and a box would cost more than the move"
)]
pub(crate) enum Turn<I> {
    /// The member has the turn until it leaves.
    Mine,
    News(News),
    Interrupted(I),
}

/// What a member tells all others.
#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for a moment, and a box would cost more than the move"
)]
pub(crate) enum News {
    /// The record is no longer in flight.
    Found(Record),
    /// The store is down, or has rejected the reservation. Contains when to ask it again, if known.
    Unavailable(StoreErrorKind, Option<Duration>),
}

impl Lines {
    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Arc<Line>>> {
        lock(&self.0)
    }

    /// Joins the line of a request as its last member.
    pub(crate) fn join(self: &Arc<Self>, key: StorageKey, fingerprint: Fingerprint) -> Member {
        let name = (key, fingerprint.to_bytes());
        let mut lines = self.lock();
        let line = lines.entry(name).or_insert_with(|| {
            Arc::new(Line {
                members: AtomicUsize::new(0),
                turn: Arc::default(),
                news: watch::Sender::new(None),
            })
        });
        line.members.fetch_add(1, Ordering::Relaxed);
        Member { lines: Arc::clone(self), name, line: Arc::clone(line), turn: None }
    }
}

/// A member of a line. Dropping it leaves the line.
pub(crate) struct Member {
    lines: Arc<Lines>,
    name: Name,
    line: Arc<Line>,
    turn: Option<OwnedMutexGuard<Progress>>,
}

impl Member {
    /// Whether the turn is free.
    pub(crate) fn is_first(&self) -> bool {
        self.line.turn.try_lock().is_ok()
    }

    /// Waits for the turn. News and an interruption win over a free turn: a member that tells news
    /// leaves afterwards, and its turn is then free too.
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

    /// The attempt that the line first waited for, if it waits for one. Only the member with the
    /// turn knows it.
    pub(crate) fn awaited(&self) -> Option<Token> {
        self.turn.as_ref().and_then(|progress| progress.awaited)
    }

    /// The attempt in flight a moment ago, if a member has looked.
    pub(crate) fn seen(&self) -> Option<PendingRef> {
        let (seen, at) = self.turn.as_ref()?.looked?;
        (at.elapsed() < FRESH).then_some(seen)
    }

    /// Notes that the attempt of another request is in flight.
    pub(crate) fn saw(&mut self, seen: PendingRef) {
        if let Some(progress) = &mut self.turn {
            progress.awaited.get_or_insert(seen.token);
            progress.looked = Some((seen, Instant::now()));
        }
    }

    /// Notes that this member makes an attempt.
    ///
    /// If it is the first since the key was free, the line waits for it. If it retries a failed
    /// one, the line still waits for the failed one, so that no member makes a third.
    pub(crate) fn makes(&mut self, attempt: Token, is_first: bool) {
        if let Some(progress) = &mut self.turn {
            if is_first {
                progress.awaited = Some(attempt);
            }
            progress.awaited.get_or_insert(attempt);
            progress.looked = None;
        }
    }

    /// Returns how often the line has waited for the store, and counts one more wait.
    pub(crate) fn next_round(&mut self) -> u32 {
        let Some(progress) = &mut self.turn else {
            return 0;
        };
        let round = progress.round;
        progress.round = round.saturating_add(1);
        round
    }

    /// Tells all other members, and ends the line. A later request begins a new line.
    pub(crate) fn tell(&self, news: impl FnOnce() -> News) {
        let mut lines = self.lines.lock();
        if lines.get(&self.name).is_some_and(|line| Arc::ptr_eq(line, &self.line)) {
            lines.remove(&self.name);
        }
        // No request can join any more, so this count is final.
        let has_others = self.line.members.load(Ordering::Relaxed) > 1;
        drop(lines);
        if has_others {
            self.line.news.send_replace(Some(news()));
        }
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Member")
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut lines = self.lines.lock();
        let is_last = self.line.members.fetch_sub(1, Ordering::Relaxed) == 1;
        if is_last && lines.get(&self.name).is_some_and(|line| Arc::ptr_eq(line, &self.line)) {
            lines.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests;
