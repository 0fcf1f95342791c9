//! What operators do to records, at the level of the store.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tower_idempotency::RedisStore;
use tower_idempotency::store::operator::{
    AuditEntry, Becomes, Intervened, Intervention, ListFilter, ListPage, ListRequest,
    OperatorAction, RecordInfo, Stats,
};
use tower_idempotency::store::{
    Lease, Outcome, RecordLabel, Reservation, Settlement, State, StorageKey, Store, StoreError,
    Token,
};

use super::traffic::{RETENTION, request};

/// How long audit entries stay.
pub(crate) const STAYS: Duration = Duration::from_hours(1);

/// Reserves a key with a label.
pub(crate) async fn reserved(store: &RedisStore, key: &str) -> Result<Lease, StoreError> {
    let label = Arc::new(RecordLabel::new("traffic", "POST /"));
    match store.reserve(&request(key).label(label)).await? {
        Reservation::Acquired(lease) => Ok(lease),
        Reservation::Found(found) => panic!("{key}: {found:?}"),
    }
}

/// Leaves a failed record with a label.
pub(crate) async fn failed(store: &RedisStore, key: &str) -> Result<StorageKey, StoreError> {
    let lease = reserved(store, key).await?;
    assert_eq!(store.fail(&lease, None, RETENTION).await?, Settlement::Applied);
    Ok(lease.key)
}

/// The record as an operator sees it.
pub(crate) async fn seen(store: &RedisStore, key: &StorageKey) -> RecordInfo {
    store.show(key).await.unwrap().record.expect("there is a record")
}

/// The key becomes free. Another `number` is another intervention.
pub(crate) fn release(seen: &RecordInfo, number: u8) -> Intervention {
    change(seen, number, OperatorAction::Release, Becomes::Free)
}

/// Clients get this response from now on.
pub(crate) fn respond(seen: &RecordInfo, number: u8, outcome: &Outcome) -> Intervention {
    let ended = Becomes::Ended { state: State::Success(outcome.clone()), retention: RETENTION };
    change(seen, number, OperatorAction::Respond, ended)
}

pub(crate) fn change(
    seen: &RecordInfo,
    number: u8,
    action: OperatorAction,
    becomes: Becomes,
) -> Intervention {
    let entry = AuditEntry::new(Token::new([number; 16]), action, "night shift", "pay_7", seen);
    Intervention::new(seen.clone(), becomes, entry, STAYS)
}

pub(crate) async fn carried_out(store: &RedisStore, intervention: &Intervention) {
    let intervened = store.intervene(intervention).await.unwrap();
    assert!(matches!(intervened, Intervened::Applied), "{intervened:?}");
}

/// The pages of a list, with so many records at most.
pub(crate) struct Pages<'a> {
    store: &'a RedisStore,
    pub(crate) request: Option<ListRequest>,
    pub(crate) records: Vec<RecordInfo>,
}

impl<'a> Pages<'a> {
    pub(crate) fn of(store: &'a RedisStore, filter: ListFilter, limit: u32) -> Self {
        let request = ListRequest::new(filter).limit(limit);
        Self { store, request: Some(request), records: Vec::new() }
    }

    /// Reads one more page. `false` after the last one.
    pub(crate) async fn turn(&mut self) -> Result<bool, StoreError> {
        let Some(request) = self.request.take() else { return Ok(false) };
        let page = match self.store.list(&request).await {
            Ok(page) => page,
            Err(error) => {
                self.request = Some(request);
                return Err(error);
            }
        };
        let ListPage { records, next, progress, .. } = page;
        assert!(records.len() <= request.limit as usize, "a page has no more than its limit");
        let progress = progress.map_or(0, |progress| progress.read);
        assert!(progress <= 11_000, "a page reads a bounded number of records, and not {progress}");
        self.records.extend(records);
        self.request = next.map(|next| request.after(next));
        Ok(true)
    }

    pub(crate) async fn all(mut self) -> Vec<RecordInfo> {
        while self.turn().await.unwrap() {}
        self.records
    }

    pub(crate) fn keys(&self) -> BTreeSet<StorageKey> {
        self.records.iter().map(|info| info.key).collect()
    }
}

pub(crate) async fn counted(store: &RedisStore) -> Stats {
    let (mut stats, mut after) = (Stats::default(), None);
    loop {
        let page = store.stats(after.as_ref()).await.unwrap();
        stats += page.stats;
        match page.next {
            Some(next) => after = Some(next),
            None => return stats,
        }
    }
}
