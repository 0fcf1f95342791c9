//! Where a scan goes on.

use crate::record::key::StorageKey;
use crate::store::operator::Cursor;
use crate::store::redis::slot_set::SlotSet;
use crate::store::{StoreError, StoreErrorKind};

/// How many names a server looks at in one step, about. It serves no other client meanwhile.
pub(super) const COUNT: usize = 250;

/// Where a scan goes on. As text: its parts in this order, with dots between them.
#[derive(Clone)]
pub(super) struct Place {
    /// The process of the server, by its `run_id`. Another one has its names in another order.
    pub(super) server: String,
    /// The place as that process gave it.
    pub(super) cursor: u64,
    /// How many names it is to look at in the next step.
    pub(super) count: usize,
    /// The slots that it had when its scan began.
    pub(super) slots: SlotSet,
    /// The slots whose records were all read.
    pub(super) done: SlotSet,
    /// The records that were already returned of those behind the cursor, by their first digits.
    pub(super) listed: Vec<String>,
}

impl Place {
    pub(super) fn start() -> Self {
        Self {
            server: String::new(),
            cursor: 0,
            count: COUNT,
            slots: SlotSet::none(),
            done: SlotSet::none(),
            listed: Vec::new(),
        }
    }

    pub(super) fn of(cursor: Option<&Cursor>) -> Result<Self, StoreError> {
        cursor.map_or_else(
            || Ok(Self::start()),
            |cursor| {
                Self::read(cursor.as_str()).ok_or_else(|| {
                    let reason = "the cursor is not one of a list of this store";
                    StoreError::with_source(StoreErrorKind::Rejected, reason)
                })
            },
        )
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let place = Self {
            server: parts.next()?.to_owned(),
            cursor: parts.next()?.parse().ok()?,
            count: parts.next()?.parse::<usize>().ok()?.clamp(1, COUNT),
            slots: SlotSet::read(parts.next()?)?,
            done: SlotSet::read(parts.next()?)?,
            listed: {
                let listed = parts.next()?.split('_').filter(|digits| !digits.is_empty());
                listed.map(str::to_owned).collect()
            },
        };
        parts.next().is_none().then_some(place)
    }

    /// `None`: all records were read.
    pub(super) fn cursor(&self) -> Option<Cursor> {
        self.done.first_missing()?;
        let Self { server, cursor, count, slots, done, listed } = self;
        let listed = listed.join("_");
        Some(Cursor::new(format!("{server}.{cursor}.{count}.{slots}.{done}.{listed}")))
    }

    /// Begins the scan of a server with these slots.
    pub(super) fn begin(&mut self, server: &str, slots: &SlotSet) {
        server.clone_into(&mut self.server);
        self.slots = slots.clone();
        self.cursor = 0;
        self.listed.clear();
    }

    /// Goes on where the server says. If that is the end, the slots count that it had all the time.
    pub(super) fn advance(&mut self, cursor: u64, slots: &SlotSet) {
        self.cursor = cursor;
        self.listed.clear();
        if cursor == 0 {
            self.done.add_all(&self.slots.clone().and(slots));
            self.server.clear();
        }
    }

    pub(super) fn is_listed(&self, key: &StorageKey) -> bool {
        !self.listed.is_empty() && self.listed.contains(&digits(key))
    }

    /// Notes a record that is returned before the server goes on.
    pub(super) fn list(&mut self, key: &StorageKey) {
        self.listed.push(digits(key));
    }
}

/// Enough to distinguish a few records.
fn digits(key: &StorageKey) -> String {
    let mut digits = key.to_hex();
    digits.truncate(16);
    digits
}
