//! Operators find and settle records on every store, and never get in the way of a live attempt.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tower_idempotency::operate::{Operator, Settle, Settled};
use tower_idempotency::store::operator::{
    Cursor, ListFilter, ListOrder, ListRequest, OperatorAction, RecordInfo, RecordState,
    StateFilter, Stats,
};
use tower_idempotency::store::{
    DynStore, Lease, NotRetained, Outcome, RecordLabel, Reservation, ReserveRequest, Settlement,
    State, StorageKey, Store, StoreErrorKind, StoredBody,
};
use tower_idempotency::{Fingerprint, IdempotencyKey, IdempotencyLayer, Scope};

use crate::support::given::{Kind, over_every_store_that_leases};

/// Long enough for a busy machine.
const LEASE: Duration = Duration::from_mins(1);
/// Lapses at once.
const SHORT: Duration = Duration::from_millis(1);
const RETENTION: Duration = Duration::from_hours(1);

/// A store with an operator, and what it takes to plant records.
struct Site {
    store: DynStore,
    operator: Operator<DynStore>,
}

impl Site {
    async fn on(kind: Kind) -> (crate::support::given::Given, Self) {
        let given = kind.start().await;
        let store = given.store().await;
        let layer = IdempotencyLayer::new(store.clone()).store_timeout(Duration::from_secs(10));
        let operator = layer.operator("night shift").unwrap();
        (given, Self { store, operator })
    }

    fn key(&self, name: &str) -> StorageKey {
        let key = IdempotencyKey::parse(name.as_bytes()).unwrap();
        self.operator.storage_key(&Scope::new("account"), &key)
    }

    fn request(&self, name: &str) -> ReserveRequest {
        let scope = self.operator.scope_digest(&Scope::new("account"));
        ReserveRequest::new(self.key(name), Fingerprint::of_fields(["pay", name]))
            .scope(scope)
            .lease(LEASE)
            .retention(RETENTION)
            .label(Arc::new(RecordLabel::new("payments", "POST /payments")))
    }

    async fn reserve(&self, request: &ReserveRequest) -> Lease {
        match self.store.reserve(request).await.unwrap() {
            Reservation::Acquired(lease) => lease,
            Reservation::Found(found) => panic!("the key is free, but there is {found:?}"),
        }
    }

    async fn in_flight(&self, name: &str) -> Lease {
        self.reserve(&self.request(name)).await
    }

    async fn abandoned(&self, name: &str) -> Lease {
        let lease = self.reserve(&self.request(name).lease(SHORT)).await;
        while self.seen(name).await.state != RecordState::Abandoned {
            tokio::task::yield_now().await;
        }
        lease
    }

    async fn failed(&self, name: &str) -> Lease {
        let lease = self.in_flight(name).await;
        let failure = self.store.fail(&lease, Some(&response(502, "down")), RETENTION).await;
        assert_eq!(failure.unwrap(), Settlement::Applied);
        lease
    }

    async fn succeeded(&self, name: &str, outcome: &Outcome) -> Lease {
        let lease = self.in_flight(name).await;
        let success = self.store.complete(&lease, outcome, RETENTION).await;
        assert_eq!(success.unwrap(), Settlement::Applied);
        lease
    }

    async fn seen(&self, name: &str) -> RecordInfo {
        let shown = self.operator.show(&self.key(name)).await.unwrap();
        shown.record.unwrap_or_else(|| panic!("there is a record of {name}"))
    }

    /// All pages of a list.
    async fn list(&self, filter: ListFilter, order: ListOrder, limit: u32) -> Vec<RecordInfo> {
        let mut request = ListRequest::new(filter).order(order).limit(limit);
        let mut records = Vec::new();
        loop {
            let page = self.operator.list(&request).await.unwrap();
            assert!(page.records.len() <= limit as usize, "a page has no more than its limit");
            records.extend(page.records);
            match page.next {
                Some(next) => request = request.after(next),
                None => return records,
            }
        }
    }

    async fn names(&self, filter: ListFilter, names: &[&'static str]) -> Vec<&'static str> {
        let found = self.list(filter, ListOrder::OldestFirst, 100).await;
        let is_found = |name: &&&str| found.iter().any(|info| info.key == self.key(name));
        names.iter().filter(is_found).copied().collect()
    }

    async fn stats(&self) -> Stats {
        let (mut stats, mut after) = (Stats::default(), None);
        loop {
            let page = self.operator.stats(after.as_ref()).await.unwrap();
            stats += page.stats;
            match page.next {
                Some(next) => after = Some(next),
                None => return stats,
            }
        }
    }
}

fn response(status: u16, body: &str) -> Outcome {
    let bytes = body.to_owned().into();
    let status = StatusCode::from_u16(status).unwrap();
    Outcome::new(status, StoredBody::Whole { bytes, trailers: None })
}

fn not_retained() -> Outcome {
    Outcome::new(StatusCode::CREATED, StoredBody::NotRetained(NotRetained::TooLarge))
}

const NAMES: [&str; 5] = ["running", "cut-off", "failed", "paid", "large"];

async fn planted(site: &Site) {
    let _ = site.in_flight("running").await;
    let _ = site.abandoned("cut-off").await;
    let _ = site.failed("failed").await;
    let _ = site.succeeded("paid", &response(201, "paid")).await;
    let _ = site.succeeded("large", &not_retained()).await;
}

async fn each_state_is_found_by_its_filter(kind: Kind) {
    let (_given, site) = Site::on(kind).await;
    planted(&site).await;
    for (state, expected) in [
        (StateFilter::InFlight, &["running"][..]),
        (StateFilter::Abandoned, &["cut-off"]),
        (StateFilter::Failed, &["failed"]),
        (StateFilter::InDoubt, &["cut-off", "failed"]),
        (StateFilter::NotRetained, &["large"]),
        (StateFilter::Success, &["paid"]),
        (StateFilter::Stuck, &["cut-off", "failed", "large"]),
    ] {
        let found = site.names(ListFilter::new().state(state), &NAMES).await;
        assert_eq!(found, expected, "{state}");
    }
    assert_eq!(site.names(ListFilter::new(), &NAMES).await, NAMES);
    let stats = site.stats().await;
    let counts = [
        stats.in_flight,
        stats.abandoned,
        stats.failed,
        stats.success,
        stats.not_retained,
        stats.in_doubt,
    ];
    assert_eq!(counts.map(|state| state.count), [1, 1, 1, 1, 1, 2]);
}

async fn a_label_a_scope_and_digits_find_their_records(kind: Kind) {
    let (_given, site) = Site::on(kind).await;
    planted(&site).await;
    let label = Arc::new(RecordLabel::new("orders", "POST /orders/{id}"));
    let other = site.request("other").label(label).scope(scope_of(&site, "tenant"));
    let lease = site.reserve(&other).await;
    let _ = site.store.complete(&lease, &response(201, ""), RETENTION).await.unwrap();
    let unlabelled = site.reserve(&site.request("unlabelled").label(None)).await;
    let _ = site.store.fail(&unlabelled, None, RETENTION).await.unwrap();

    let names = ["paid", "other", "unlabelled"];
    for (filter, expected) in [
        (ListFilter::new().route("POST /orders/{id}".to_owned()), &["other"][..]),
        (ListFilter::new().namespace("orders".to_owned()), &["other"]),
        (ListFilter::new().namespace("payments".to_owned()), &["paid"]),
        (ListFilter::new().route("POST /".to_owned()), &[]),
        (ListFilter::new().scope(scope_of(&site, "tenant")), &["other"]),
        (ListFilter::new().digits(site.key("paid").to_hex()[..8].to_uppercase()), &["paid"]),
        (ListFilter::new().digits(site.key("paid").to_hex()[..7].to_owned()), &["paid"]),
    ] {
        assert_eq!(site.names(filter.clone(), &names).await, expected, "{filter:?}");
    }
    // Redis does not know the age of a record without a label, which therefore passes.
    let old = ListFilter::new().older_than(Duration::from_hours(1));
    assert_eq!(site.names(old, &["paid", "other"]).await, Vec::<&str>::new());
    let shown = site.seen("other").await;
    let label = shown.label.as_ref().unwrap();
    assert_eq!((&*label.namespace, &*label.route), ("orders", "POST /orders/{id}"));
    assert_eq!(site.seen("unlabelled").await.label, None);
    for ago in [shown.reserved_ago, shown.changed_ago] {
        assert!(ago.unwrap() < LEASE, "{shown:?}");
    }
    let left = shown.expires_in.unwrap();
    assert!(left + LEASE > RETENTION && left <= RETENTION + LEASE, "{left:?}");
}

fn scope_of(site: &Site, scope: &str) -> tower_idempotency::store::ScopeDigest {
    site.operator.scope_digest(&Scope::new(scope))
}

async fn a_list_comes_in_pages_without_gaps(kind: Kind) {
    let (_given, site) = Site::on(kind).await;
    let names: Vec<String> = (0..25).map(|number| format!("key-{number}")).collect();
    for name in &names {
        let _ = site.failed(name).await;
    }
    for order in [ListOrder::OldestFirst, ListOrder::NewestFirst] {
        let failed = ListFilter::new().state(StateFilter::Failed);
        let mut keys: Vec<_> =
            site.list(failed, order, 4).await.into_iter().map(|info| info.key).collect();
        keys.sort();
        let mut expected: Vec<_> = names.iter().map(|name| site.key(name)).collect();
        expected.sort();
        assert_eq!(keys, expected, "{order:?}");
    }
}

async fn a_release_frees_the_key_and_leaves_a_history(kind: Kind) {
    let (_given, site) = Site::on(kind).await;
    let late = site.abandoned("order").await;
    let seen = site.seen("order").await;
    let released = site.operator.release(&seen, "not at the provider").await.unwrap();
    assert!(matches!(released, Settled::Applied), "{released:?}");
    let again = site.operator.release(&seen, "sent again").await.unwrap();
    assert!(matches!(again, Settled::AlreadyApplied), "{again:?}");

    let shown = site.operator.show(&site.key("order")).await.unwrap();
    assert!(shown.record.is_none());
    let [entry] = &shown.history[..] else { panic!("one entry: {:?}", shown.history) };
    assert_eq!(entry.action, OperatorAction::Release);
    assert_eq!((&*entry.by, &*entry.reason), ("night shift", "not at the provider"));
    assert_eq!((&*entry.was, entry.attempt), ("abandoned", 1));
    let age = entry.at.elapsed().unwrap_or_default();
    assert!(age < Duration::from_mins(10), "the entry has the time of the store: {age:?}");

    let next = site.in_flight("order").await;
    assert_eq!((next.attempt, next.previous), (1, None));
    let renewal = site.store.renew(&late).await.unwrap();
    assert_eq!(renewal, Settlement::LeaseLost, "the attempt that was cut off has lost its lease");
}

async fn a_settled_response_is_what_clients_get_from_now_on(kind: Kind) {
    let (_given, site) = Site::on(kind).await;
    for (name, body) in [("small", "paid".to_owned()), ("large", "x".repeat(70_000))] {
        let late = site.abandoned(name).await;
        let seen = site.seen(name).await;
        let stored = response(201, &body);
        let settle = || Settle::Respond(stored.clone());
        let settled = site.operator.settle(&seen, settle(), "pay_7").await.unwrap();
        assert!(matches!(settled, Settled::Applied), "{settled:?}");
        let again = site.operator.settle(&seen, settle(), "pay_7").await.unwrap();
        assert!(matches!(again, Settled::AlreadyApplied), "{again:?}");

        let late = site.store.complete(&late, &response(500, "late"), RETENTION).await.unwrap();
        assert_eq!(late, Settlement::LeaseLost, "a late attempt does not overwrite it");
        let found = site.store.reserve(&site.request(name)).await.unwrap();
        let Reservation::Found(found) = found else { panic!("{found:?}") };
        let State::Success(outcome) = found.state else { panic!("{found:?}") };
        assert_eq!(outcome, stored);
        assert_eq!(site.seen(name).await.label.unwrap().namespace, "payments");
    }
}

async fn a_failure_and_a_conclusion_are_settled_as_such(kind: Kind) {
    let (_given, site) = Site::on(kind).await;
    let _ = site.abandoned("fails").await;
    let seen = site.seen("fails").await;
    let fail = Settle::Fail(Some(StatusCode::BAD_GATEWAY));
    assert!(site.operator.settle(&seen, fail, "refused").await.unwrap().is_applied());
    let state = site.seen("fails").await.state;
    assert_eq!(state, RecordState::Failed { status: Some(StatusCode::BAD_GATEWAY) });
    let next = site.in_flight("fails").await;
    assert_eq!(next.attempt, 2, "an attempt after the one that the operator has settled");

    let _ = site.failed("done").await;
    let seen = site.seen("done").await;
    let conclude = Settle::Conclude(StatusCode::CREATED);
    assert!(site.operator.settle(&seen, conclude, "paid by hand").await.unwrap().is_applied());
    let RecordState::Success { status, not_retained, .. } = site.seen("done").await.state else {
        panic!("it succeeded")
    };
    assert_eq!((status.as_u16(), not_retained), (201, Some(NotRetained::Settled)));
    let shown = site.operator.show(&site.key("done")).await.unwrap();
    assert_eq!(shown.unreadable, None);
}

async fn what_has_moved_on_is_left_alone(kind: Kind) {
    let (_given, site) = Site::on(kind).await;
    // Taken over since.
    let _ = site.failed("order").await;
    let seen = site.seen("order").await;
    let next = site.in_flight("order").await;
    let moved = site.operator.release(&seen, "too late").await.unwrap();
    let Settled::Moved(Some(now)) = moved else { panic!("{moved:?}") };
    assert_eq!((now.attempt, now.state), (2, RecordState::InFlight));
    let success = site.store.complete(&next, &response(201, "paid"), RETENTION).await.unwrap();
    assert_eq!(success, Settlement::Applied, "the attempt that runs is not disturbed");
    let moved = site.operator.settle(&seen, Settle::Fail(None), "too late").await.unwrap();
    assert!(matches!(moved, Settled::Moved(Some(_))), "{moved:?}");

    // Renewed since.
    let lease = site.abandoned("slow").await;
    let seen = site.seen("slow").await;
    let renewed = Lease::first(&site.request("slow"), lease.token);
    assert_eq!(site.store.renew(&renewed).await.unwrap(), Settlement::Applied);
    let moved = site.operator.release(&seen, "too late").await.unwrap();
    assert!(matches!(moved, Settled::Moved(Some(_))), "{moved:?}");
    assert_eq!(site.store.renew(&renewed).await.unwrap(), Settlement::Applied);

    // Gone since.
    let lease = site.in_flight("undone").await;
    let seen = site.seen("undone").await;
    assert_eq!(site.store.release(&lease).await.unwrap(), Settlement::Applied);
    let layer = IdempotencyLayer::new(site.store.clone());
    let fencing = layer.operator("night shift").unwrap().even_in_flight();
    let moved = fencing.erase(&seen, "too late").await.unwrap();
    assert!(matches!(moved, Settled::Moved(None)), "{moved:?}");
    for name in ["order", "slow", "undone"] {
        let shown = site.operator.show(&site.key(name)).await.unwrap();
        assert_eq!(shown.history, [], "what was not done is not in the history of {name}");
    }
}

async fn a_live_attempt_is_fenced_only_if_it_is_asked_for(kind: Kind) {
    let (_given, site) = Site::on(kind).await;
    let lease = site.in_flight("order").await;
    let seen = site.seen("order").await;
    let left = site.operator.erase(&seen, "tenant left").await.unwrap();
    assert!(matches!(left, Settled::InFlight), "{left:?}");
    assert_eq!(site.store.renew(&lease).await.unwrap(), Settlement::Applied);

    let layer = IdempotencyLayer::new(site.store.clone());
    let fencing = layer.operator("night shift").unwrap().even_in_flight();
    let settle = Settle::Respond(response(201, "paid by hand"));
    let fenced = fencing.settle(&seen, settle, "hangs").await.unwrap();
    assert!(matches!(fenced, Settled::Applied), "{fenced:?}");
    assert_eq!(site.store.renew(&lease).await.unwrap(), Settlement::LeaseLost);
    let late = site.store.complete(&lease, &response(500, "late"), RETENTION).await.unwrap();
    assert_eq!(late, Settlement::LeaseLost);
}

async fn a_response_that_clients_get_is_only_erased(kind: Kind) {
    let (_given, site) = Site::on(kind).await;
    let _ = site.succeeded("paid", &response(201, &"x".repeat(70_000))).await;
    let seen = site.seen("paid").await;
    for settled in [
        site.operator.release(&seen, "by accident").await.unwrap(),
        site.operator.settle(&seen, Settle::Fail(None), "by accident").await.unwrap(),
        site.operator.settle(&seen, Settle::Respond(response(200, "")), "no").await.unwrap(),
    ] {
        assert!(matches!(settled, Settled::HasResponse), "{settled:?}");
    }
    assert!(site.operator.erase(&seen, "tenant left").await.unwrap().is_applied());
    assert!(site.store.inspect(&site.key("paid")).await.unwrap().is_none());

    // One that was not retained gets its response.
    let _ = site.succeeded("large", &not_retained()).await;
    let seen = site.seen("large").await;
    let settle = Settle::Respond(response(201, "found in the archive"));
    assert!(site.operator.settle(&seen, settle, "archive").await.unwrap().is_applied());
    let found = site.store.inspect(&site.key("large")).await.unwrap().unwrap();
    let State::Success(outcome) = found.state else { panic!("{found:?}") };
    assert_eq!(outcome, response(201, "found in the archive"));
}

async fn a_scope_is_erased_and_others_stay(kind: Kind) {
    let (_given, site) = Site::on(kind).await;
    planted(&site).await;
    let tenant = scope_of(&site, "tenant");
    for number in 0..10 {
        let request = site.request(&format!("of-tenant-{number}")).scope(tenant);
        let lease = site.reserve(&request).await;
        let _ = site.store.complete(&lease, &response(201, ""), RETENTION).await.unwrap();
    }
    let running = site.reserve(&site.request("of-tenant-running").scope(tenant)).await;
    let (mut records, mut left, mut after) = (0, 0, None);
    loop {
        let erased = site.operator.erase_scope(tenant, "tenant left", after).await.unwrap();
        (records, left) = (records + erased.records, left + erased.left);
        match erased.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!((records, left), (10, 1), "the attempt that runs is left");
    assert_eq!(site.store.renew(&running).await.unwrap(), Settlement::Applied);
    assert_eq!(site.names(ListFilter::new(), &NAMES).await, NAMES, "records of other scopes stay");
}

/// A list that ended or began anew instead would hide records.
async fn a_cursor_that_the_store_has_not_made_is_rejected(kind: Kind) {
    let (_given, site) = Site::on(kind).await;
    site.reserve(&site.request("running")).await;
    let key = site.key("running").to_hex();
    let mut cursors = vec![String::new(), "-".into(), "nonsense".into(), format!("x-{key}")];
    match kind {
        Kind::Sqlite => cursors.extend([format!("9-{key}"), format!("2026-11-28-{key}")]),
        Kind::Postgres => cursors.push(format!("{}-{key}", i64::MAX)),
        _ => {}
    }
    if !matches!(kind, Kind::Sqlite) {
        cursors.push(format!("2026-11-28T14:21:03.123-{key}"));
    }
    for cursor in cursors {
        let request = ListRequest::new(ListFilter::new()).after(Cursor::new(cursor.clone()));
        let error = site.operator.list(&request).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Rejected, "{cursor}: {error:?}");
    }
}

over_every_store_that_leases! {
    a_cursor_that_the_store_has_not_made_is_rejected
    each_state_is_found_by_its_filter
    a_label_a_scope_and_digits_find_their_records
    a_list_comes_in_pages_without_gaps
    a_release_frees_the_key_and_leaves_a_history
    a_settled_response_is_what_clients_get_from_now_on
    a_failure_and_a_conclusion_are_settled_as_such
    what_has_moved_on_is_left_alone
    a_live_attempt_is_fenced_only_if_it_is_asked_for
    a_response_that_clients_get_is_only_erased
    a_scope_is_erased_and_others_stay
}
