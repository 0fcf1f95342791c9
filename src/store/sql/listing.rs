//! The statement of a list: its conditions, and where a page begins.
//!
//! It is made for each list, because a planner uses an index only for conditions that it can see.
//! It contains words of this crate only. What an operator asks for is in its values.

use std::fmt::Write as _;
use std::time::Duration;

use super::table::written;
use crate::record::key::StorageKey;
use crate::store::operator::{
    Cursor, ListFilter, ListOrder, ListPage, ListRequest, RecordInfo, StateFilter,
};
use crate::store::{StoreError, StoreErrorKind};

/// What the index for operators covers: see `operator_index.sql`. Without it as a condition, word
/// by word, the planner of SQLite does not use the index.
const INDEXED: &str = "(status <> 'success' OR response_missing NOT IN ('omitted', 'packed'))";
const NOT_RETAINED: &str = "status = 'success' AND response_missing NOT IN ('omitted', 'packed')";

/// The longest age that every database can subtract from its time.
const LONGEST: Duration = Duration::from_hours(24 * 365_000);

/// How a database writes a time, and the values of a statement in their places.
pub(super) struct Dialect {
    /// The time of the statement.
    pub(super) now: &'static str,
    pub(super) bytes: fn(usize) -> String,
    pub(super) text: fn(usize) -> String,
    /// The time that is so long ago.
    pub(super) ago: fn(usize) -> String,
    /// The time in a cursor.
    pub(super) time: fn(usize) -> String,
    /// Whether the store writes a time so. Another one would end the list, or begin it anew.
    pub(super) is_time: fn(&str) -> bool,
}

/// A value, in the order of the parameters.
#[derive(Debug, PartialEq)]
pub(super) enum ListValue {
    Bytes(Vec<u8>),
    Text(String),
    Ago(Duration),
    /// As [`place`](Listing) has it.
    Time(String),
}

/// What follows after the columns and the conditions that all lists have.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) text: String,
    pub(super) values: Vec<ListValue>,
}

impl Listing {
    /// Selects one record more than the page has, to know whether there is a next page.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Rejected`] if the cursor is not one of this store.
    pub(super) fn of(request: &ListRequest, dialect: &Dialect) -> Result<Self, StoreError> {
        let mut listing = Self::default();
        listing.filter(&request.filter, dialect);
        let (order, behind) = match request.order {
            ListOrder::OldestFirst => ("", ">"),
            ListOrder::NewestFirst => (" DESC", "<"),
        };
        if let Some(after) = &request.after {
            let (time, key) = place(after, dialect)?;
            let time = listing.value(dialect.time, ListValue::Time(time));
            let key = listing.value(dialect.bytes, ListValue::Bytes(key.as_bytes().to_vec()));
            listing.and(&format!("(updated_at, key) {behind} ({time}, {key})"));
        }
        let limit = u64::from(request.limit) + 1;
        let (text, order) = (&mut listing.text, format!("updated_at{order}, key{order}"));
        let _ = write!(text, "\nORDER BY {order} LIMIT {limit}");
        Ok(listing)
    }

    fn filter(&mut self, filter: &ListFilter, dialect: &Dialect) {
        // Without `..`, so that no new condition is forgotten.
        let ListFilter { state, older_than, route, namespace, scope, digits } = filter;
        if let Some(state) = state {
            self.state(*state, dialect.now);
        }
        if let Some(age) = older_than {
            let since = self.value(dialect.ago, ListValue::Ago((*age).min(LONGEST)));
            self.and(&format!("updated_at <= {since}"));
        }
        for (column, label) in [("route", route), ("namespace", namespace)] {
            if let Some(label) = label {
                let label = ListValue::Text(written(label).into_owned());
                let label = self.value(dialect.text, label);
                self.and(&format!("{column} = {label}"));
            }
        }
        if let Some(scope) = scope {
            let scope = self.value(dialect.bytes, ListValue::Bytes(scope.as_bytes().to_vec()));
            self.and(&format!("scope = {scope}"));
        }
        if let Some(digits) = digits {
            self.digits(digits, dialect);
        }
    }

    fn state(&mut self, state: StateFilter, now: &str) {
        let abandoned = format!("status = 'pending' AND lease_until <= {now}");
        let condition = match state {
            StateFilter::InFlight => format!("status = 'pending' AND lease_until > {now}"),
            StateFilter::Abandoned => abandoned,
            StateFilter::Failed => "status = 'failed'".to_owned(),
            StateFilter::InDoubt => {
                format!("status = 'failed' OR {abandoned} OR status = 'pending' AND attempt > 1")
            }
            StateFilter::NotRetained => NOT_RETAINED.to_owned(),
            StateFilter::Stuck => format!("status = 'failed' OR {abandoned} OR {NOT_RETAINED}"),
            StateFilter::Success => {
                let replayed =
                    "response_missing IS NULL OR response_missing IN ('omitted', 'packed')";
                return self.and(&format!("status = 'success' AND ({replayed})"));
            }
        };
        self.and(INDEXED);
        self.and(&format!("({condition})"));
    }

    /// A range of the primary key.
    fn digits(&mut self, digits: &str, dialect: &Dialect) {
        let Some((first, behind)) = range(digits) else { return self.and("false") };
        let first = self.value(dialect.bytes, ListValue::Bytes(first));
        self.and(&format!("key >= {first}"));
        if let Some(behind) = behind {
            let behind = self.value(dialect.bytes, ListValue::Bytes(behind));
            self.and(&format!("key < {behind}"));
        }
    }

    fn value(&mut self, written: fn(usize) -> String, value: ListValue) -> String {
        self.values.push(value);
        written(self.values.len())
    }

    fn and(&mut self, condition: &str) {
        self.text += "\n  AND ";
        self.text += condition;
    }
}

/// The first key with these digits, and the first one behind them if there is one. `None`: no key
/// has them.
fn range(digits: &str) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let is_digit = |digit: u8| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit);
    if digits.len() > 64 || !digits.bytes().all(is_digit) {
        return None;
    }
    let filled = |with: &str| digits.to_owned() + &with.repeat(64 - digits.len());
    let first = StorageKey::from_hex(&filled("0"))?;
    let mut behind = StorageKey::from_hex(&filled("f"))?.as_bytes().to_vec();
    // One more than the last key that has them.
    while behind.pop_if(|last| *last == u8::MAX).is_some() {}
    let behind = behind.last_mut().map(|last| *last += 1).map(|()| behind);
    Some((first.as_bytes().to_vec(), behind))
}

/// A row of a list: the time of its place, its key, and the record if it can be read.
pub(super) type Listed = (String, StorageKey, Option<RecordInfo>);

/// The page that these rows are, of which the last one may be the first of the next page.
pub(super) fn page<R>(
    rows: &[R],
    request: &ListRequest,
    read: impl Fn(&R) -> Result<Listed, StoreError>,
) -> Result<ListPage, StoreError> {
    let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
    let mut records = Vec::with_capacity(rows.len());
    let mut end = None;
    for row in rows.iter().take(limit) {
        let (time, key, info) = read(row)?;
        end = Some(cursor(&time, &key));
        records.extend(info);
    }
    Ok(ListPage::new(records, end.filter(|_| rows.len() > limit)))
}

/// Where the next page begins: behind the last record of this one.
fn cursor(time: &str, key: &StorageKey) -> Cursor {
    Cursor::new(format!("{}-{}", time.replace(' ', "T"), key.to_hex()))
}

fn place(cursor: &Cursor, dialect: &Dialect) -> Result<(String, StorageKey), StoreError> {
    let place = cursor.as_str().rsplit_once('-').and_then(|(time, key)| {
        let time = time.replace('T', " ");
        let key = StorageKey::from_hex(key).filter(|_| (dialect.is_time)(&time))?;
        Some((time, key))
    });
    place.ok_or_else(|| {
        StoreError::new(StoreErrorKind::Rejected).detail("the cursor is not one of this store")
    })
}

#[cfg(test)]
mod tests;
