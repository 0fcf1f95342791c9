//! The text that begins the transaction of an attempt and claims its key.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use ::sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};

use crate::store::sql::postgres::names::Names;

/// Begins a transaction and claims the key in it, in one round trip. The claim is two advisory
/// locks: of the key with the fingerprint, and then of the key. A transaction that gets the first
/// and finds the second taken knows that another request has it, because the same request would
/// have the first.
///
/// Both are locks of the table itself, however its name was written, so a key in another table is
/// another key.
///
/// The server parses the text each time, so it has no part that a prepared statement can have. It
/// contains numbers and words of the store only, and no byte of a client.
pub(super) struct Begin {
    pub(super) clause: &'static str,
    /// `None`: the server looks up the table by its name.
    pub(super) number: Option<i64>,
    /// The numbers of the locks, without the table.
    pub(super) of_key: i64,
    pub(super) of_request: i64,
    /// How long the next statement waits for a lock, in milliseconds.
    pub(super) patience: usize,
}

impl Begin {
    pub(super) fn statement(&self, names: &Names) -> SqlStr {
        let Self { clause, patience, .. } = self;
        let [of_request, of_key] =
            [self.of_request, self.of_key].map(|number| self.in_table(number, names));
        // The lock timeout that was set before is left to `claim.sql`, in place of 'mine'.
        AssertSqlSafe(format!(
            "BEGIN{clause}; SELECT set_config('idempotency.claim', \
             CASE WHEN pg_try_advisory_xact_lock({of_request}) THEN \
             CASE WHEN pg_try_advisory_xact_lock({of_key}) THEN current_setting('lock_timeout') \
             ELSE 'another' END ELSE 'same' END, true); SET LOCAL lock_timeout = {patience}"
        ))
        .into_sql_str()
    }

    fn in_table(&self, lock: i64, names: &Names) -> String {
        match self.number {
            Some(number) => format!("'{}'::bigint", lock ^ (number << 32)),
            None => format!("'{lock}'::bigint # ('{names}'::regclass::oid::bigint << 32)"),
        }
    }
}

/// The number by which the server knows the table. A text with the number costs the server less
/// than one with the name. A clone learns with it.
#[derive(Clone, Default)]
pub(super) struct TableNumber(Arc<AtomicI64>);

impl TableNumber {
    const UNKNOWN: i64 = 0;
    /// The name has led to two tables. The search paths of the connections may differ.
    const VARIES: i64 = -1;

    pub(super) fn get(&self) -> Option<i64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|number| *number > Self::UNKNOWN)
    }

    /// Compares the number that a claim has used with the one that the name leads to. Returns
    /// `false` if the claim was one of another table.
    pub(super) fn learn(&self, used: Option<i64>, found: i64) -> bool {
        let is_right = used.is_none_or(|used| used == found);
        if !is_right {
            self.0.store(Self::VARIES, Ordering::Relaxed);
        } else if used.is_none() {
            let (unknown, order) = (Self::UNKNOWN, Ordering::Relaxed);
            let _ = self.0.compare_exchange(unknown, found, order, order);
        }
        is_right
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_is_found_under_another_number_is_looked_up_by_its_name_from_then_on() {
        let number = TableNumber::default();
        assert!(number.learn(number.get(), 7));
        assert_eq!(number.get(), Some(7));
        assert!(number.learn(number.get(), 7));
        assert!(!number.learn(number.get(), 8));
        assert!(number.learn(number.get(), 8));
        assert_eq!(number.get(), None);
    }

    #[test]
    fn both_ways_to_name_the_table_are_the_same_lock() {
        let lock = 0x0123_4567_89ab_cdef_i64;
        let begin =
            |number| Begin { clause: "", number, of_key: lock, of_request: lock, patience: 1 };
        let names = Names { schema: None, table: crate::store::Identifier::known("records") };
        let number = 0x9abc_def0_i64;
        assert_eq!(
            begin(Some(number)).in_table(lock, &names),
            format!("'{}'::bigint", lock ^ (number << 32))
        );
        assert_eq!(
            begin(None).in_table(lock, &names),
            format!("'{lock}'::bigint # ('\"records\"'::regclass::oid::bigint << 32)")
        );
    }
}
