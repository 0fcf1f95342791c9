//! What operators ask of the memory store.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use super::slot::{Moment, Slot, SlotState, frame};
use super::{Inner, hold};
use crate::record::key::StorageKey;
use crate::runtime::lock::lock;
use crate::store::operator::{
    AuditEntry, Cursor, History, Intervened, Intervention, ListOrder, ListPage, ListRequest,
    RecordInfo, Shown, Stats, StatsPage,
};
use crate::store::{RecordStatus, StoreError, StoreErrorKind, Token};

/// How many audit entries a store has. The oldest ones go first.
const ENTRIES: usize = 100_000;
/// How many a key has.
const ENTRIES_OF_KEY: usize = 100;
/// How many shards are read before other tasks have their turn.
const SHARDS_IN_TURN: usize = 16;

/// What operators did.
#[derive(Default)]
pub(super) struct Audit(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    of_keys: HashMap<StorageKey, VecDeque<(AuditEntry, Duration)>>,
    /// The keys of all entries, the oldest first. Some entries may be gone already.
    order: VecDeque<StorageKey>,
}

impl Audit {
    fn contains(&self, key: &StorageKey, id: Token) -> bool {
        let entries = lock(&self.0);
        entries
            .of_keys
            .get(key)
            .is_some_and(|of_key| of_key.iter().any(|(entry, _)| entry.id == id))
    }

    fn add(&self, key: StorageKey, entry: AuditEntry, expires: Duration, now: Duration) {
        let mut entries = lock(&self.0);
        entries.order.push_back(key);
        let of_key = entries.of_keys.entry(key).or_default();
        of_key.push_back((entry, expires));
        of_key.retain(|(_, expires)| *expires > now);
        while of_key.len() > ENTRIES_OF_KEY {
            of_key.pop_front();
        }
        while entries.order.len() > ENTRIES {
            let Some(oldest) = entries.order.pop_front() else { break };
            if let Some(of_key) = entries.of_keys.get_mut(&oldest) {
                of_key.pop_front();
                if of_key.is_empty() {
                    entries.of_keys.remove(&oldest);
                }
            }
        }
    }

    fn of(&self, key: &StorageKey, now: Duration) -> History {
        let entries = lock(&self.0);
        let of_key = entries.of_keys.get(key).into_iter().flatten();
        of_key.filter(|(_, expires)| *expires > now).map(|(entry, _)| entry.clone()).collect()
    }
}

/// The place of a record in a list.
type Place = (Moment, StorageKey);

impl Inner {
    /// Reads all records, one shard at a time, and returns those that come first behind the cursor.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Rejected`] if the cursor is not one of this store.
    pub(super) async fn list(&self, request: &ListRequest) -> Result<ListPage, StoreError> {
        let limit = request.limit as usize;
        let after = request.after.as_ref().map(place).transpose()?;
        let is_newest_first = request.order == ListOrder::NewestFirst;
        let is_behind = |at: &Place| match &after {
            None => true,
            Some(after) if is_newest_first => at < after,
            Some(after) => at > after,
        };
        let mut first: BTreeMap<Place, RecordInfo> = BTreeMap::new();
        let mut more = false;
        self.each(|slot, now| {
            let at = (slot.changed, slot.key);
            if !is_behind(&at) {
                return;
            }
            let info = slot.info(now);
            if request.filter.passes(&info) {
                first.insert(at, info);
            }
            if first.len() > limit {
                more = true;
                if is_newest_first {
                    first.pop_first()
                } else {
                    first.pop_last()
                };
            }
        })
        .await;
        let last = if is_newest_first { first.first_key_value() } else { first.last_key_value() };
        let next = last.filter(|_| more).map(|(at, _)| cursor(at));
        let mut records: Vec<_> = first.into_values().collect();
        if is_newest_first {
            records.reverse();
        }
        Ok(ListPage::new(records, next))
    }

    pub(super) async fn stats(&self) -> StatsPage {
        let mut stats = Stats::default();
        self.each(|slot, now| stats.add(&slot.info(now))).await;
        StatsPage::new(stats, None, None)
    }

    /// Calls `read` with each live record. Requests have their turn in between.
    async fn each(&self, mut read: impl FnMut(&Slot, Duration)) {
        for (index, shard) in self.shards.iter().enumerate() {
            let now = self.now();
            hold(shard).all(now).for_each(|slot| read(slot, now));
            if index % SHARDS_IN_TURN == SHARDS_IN_TURN - 1 {
                tokio::task::yield_now().await;
            }
        }
    }

    pub(super) fn show(&self, key: &StorageKey) -> Shown {
        let now = self.now();
        let info = self.shard(key).live(key, now, &self.capacity).map(|slot| slot.info(now));
        Shown::new(info, self.audit.of(key, now))
    }

    pub(super) fn intervene(&self, intervention: &Intervention) -> Result<Intervened, StoreError> {
        let now = self.now();
        let Intervention { seen, becomes, entry, audit_retention } = intervention;
        let key = &seen.key;
        let mut shard = self.shard(key);
        let found = shard.live(key, now, &self.capacity);
        let slot = match found {
            Some(slot) if slot.info(now).is_as_seen(seen) => slot,
            _ if self.audit.contains(key, entry.id) => return Ok(Intervened::AlreadyApplied),
            found => return Ok(Intervened::Moved(found.map(|slot| Box::new(slot.info(now))))),
        };
        match becomes.ended() {
            None => shard.remove(key, &self.capacity),
            Some((status, outcome, retention)) => {
                let frame = outcome.map(frame);
                let state = match (status, frame) {
                    (RecordStatus::Success, Some(frame)) => SlotState::Success(frame),
                    (_, frame) => SlotState::Failed(frame),
                };
                let by = slot.settled_as(entry.id, state, now.saturating_add(retention), now);
                self.capacity.replace(&slot.claim(), &by.claim())?;
                shard.replace(key, by);
            }
        }
        let entry = AuditEntry { at: SystemTime::now(), ..entry.clone() };
        self.audit.add(*key, entry, now.saturating_add(*audit_retention), now);
        Ok(Intervened::Applied)
    }
}

fn cursor((changed, key): &Place) -> Cursor {
    Cursor::new(format!("{}-{}", changed.number(), key.to_hex()))
}

fn place(cursor: &Cursor) -> Result<Place, StoreError> {
    let place = cursor.as_str().split_once('-').and_then(|(changed, key)| {
        Some((Moment::numbered(changed.parse().ok()?), StorageKey::from_hex(key)?))
    });
    place.ok_or_else(|| {
        StoreError::new(StoreErrorKind::Rejected).detail("the cursor is not one of this store")
    })
}
