//! The history of each record of a random run is rebuilt from the events alone, and compared with
//! the store, with the ledger of the handler, and with the responses.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse;
use axum::routing::post as to_post;
use http::{Request, StatusCode};
use tower::ServiceExt;
use tower_idempotency::operate::{Event, EventKind, NotStored, Operator, Settle};
use tower_idempotency::store::operator::{
    Cursor, Intervened, Intervention, ListFilter, ListPage, ListRequest, OperatorAction, Shown,
    StateFilter, StatsPage,
};
use tower_idempotency::store::{
    DynStore, Lease, Outcome, PendingRef, Record, RecordStatus, Reservation, ReserveRequest,
    Settlement, StorageKey, Store, StoreError, StoreErrorKind, Token,
};
use tower_idempotency::{
    Attempt, InFlight, MemoryStore, PreviousAttempt, ResponseDirective, Scope,
};

use super::{events, told};
use crate::support::layer_over;
use crate::support::random::Draw;

const KEYS: usize = 40;
const CLIENTS: usize = 12;
const REQUESTS: usize = 80;

/// A memory store that fails now and then, before or after it has done what it was asked.
#[derive(Clone)]
struct Flaky {
    inner: MemoryStore,
    draw: Arc<Mutex<Draw>>,
}

impl Flaky {
    async fn flaky<T>(
        &self,
        [before, after]: [u64; 2],
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let drawn = self.draw.lock().unwrap().between(1, 100);
        if drawn <= before {
            return Err(StoreError::new(StoreErrorKind::Unavailable));
        }
        let done = work.await?;
        if drawn <= before + after {
            return Err(StoreError::new(StoreErrorKind::Timeout));
        }
        Ok(done)
    }
}

impl Store for Flaky {
    async fn reserve(&self, request: &ReserveRequest) -> Result<Reservation, StoreError> {
        self.flaky([3, 3], self.inner.reserve(request)).await
    }

    async fn complete(
        &self,
        lease: &Lease,
        outcome: &Outcome,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        self.flaky([20, 20], self.inner.complete(lease, outcome, retention)).await
    }

    async fn fail(
        &self,
        lease: &Lease,
        outcome: Option<&Outcome>,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        self.flaky([20, 20], self.inner.fail(lease, outcome, retention)).await
    }

    async fn release(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        self.flaky([20, 20], self.inner.release(lease)).await
    }

    async fn renew(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        self.flaky([75, 5], self.inner.renew(lease)).await
    }

    async fn inspect(&self, key: &StorageKey) -> Result<Option<Record>, StoreError> {
        self.inner.inspect(key).await
    }

    async fn wait_for_change(
        &self,
        seen: &PendingRef,
        round: u32,
        bound: Duration,
    ) -> Result<(), StoreError> {
        self.inner.wait_for_change(seen, round, bound).await
    }

    async fn list(&self, request: &ListRequest) -> Result<ListPage, StoreError> {
        self.inner.list(request).await
    }

    async fn show(&self, key: &StorageKey) -> Result<Shown, StoreError> {
        self.inner.show(key).await
    }

    async fn intervene(&self, intervention: &Intervention) -> Result<Intervened, StoreError> {
        self.inner.intervene(intervention).await
    }

    async fn stats(&self, after: Option<&Cursor>) -> Result<StatsPage, StoreError> {
        self.inner.stats(after).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// The runs of the handler: the key of the client, and the number of the attempt.
type Ledger = Arc<Mutex<Vec<(String, u32)>>>;

fn handler(ledger: &Ledger, draw: &Draw) -> Router {
    let (ledger, draw) = (Arc::clone(ledger), Arc::new(Mutex::new(draw.part("handler"))));
    let run = move |request: axum::extract::Request| {
        let attempt = request.extensions().get::<Attempt>().unwrap();
        let entry = (attempt.key().as_str().to_owned(), attempt.number());
        ledger.lock().unwrap().push(entry);
        let (takes, ends) = {
            let mut draw = draw.lock().unwrap();
            (draw.millis(0, 400), draw.between(1, 100))
        };
        async move {
            tokio::time::sleep(takes).await;
            match ends {
                1..=20 => StatusCode::CREATED.into_response(),
                21..=40 => StatusCode::BAD_GATEWAY.into_response(),
                41..=65 => StatusCode::BAD_REQUEST.into_response(),
                66..=85 => {
                    let mut response = StatusCode::GATEWAY_TIMEOUT.into_response();
                    response.extensions_mut().insert(ResponseDirective::abandoned());
                    response
                }
                // Without a line on the standard error for each.
                _ => std::panic::resume_unwind(Box::new("the handler panics")),
            }
        }
    };
    Router::new().route("/", to_post(run))
}

/// How often clients were told something, by `replayed` or the code of the rejection.
type Responses = Arc<Mutex<HashMap<String, usize>>>;

/// Sends requests for random keys. Each is a task of its own, because the handler may panic.
async fn client(router: Router, mut draw: Draw, responses: Responses) {
    for _ in 0..REQUESTS {
        let key = format!("order-{}", draw.index(KEYS));
        let request = Request::post("/").header("idempotency-key", key);
        let sent = tokio::spawn(router.clone().oneshot(request.body(Body::empty()).unwrap()));
        if let Ok(response) = sent.await {
            let response = response.unwrap();
            let rejection = response.extensions().get::<tower_idempotency::Rejection>();
            let is_replay = response.headers().contains_key("x-idempotent-result");
            let what = match rejection {
                Some(rejection) => rejection.code(),
                None if is_replay => "replayed",
                None => "executed",
            };
            *responses.lock().unwrap().entry(what.to_owned()).or_default() += 1;
        }
        tokio::time::sleep(draw.millis(0, 120)).await;
    }
}

/// Settles what is stuck, at random.
async fn operate(operator: Operator<DynStore>, mut draw: Draw) {
    let stuck = ListRequest::new(ListFilter::new().state(StateFilter::Stuck));
    loop {
        tokio::time::sleep(draw.millis(50, 300)).await;
        for record in operator.list(&stuck).await.unwrap().records {
            let changed = match draw.between(1, 6) {
                1 => operator.release(&record, "nothing there").await,
                2 => operator.settle(&record, Settle::Conclude(StatusCode::CREATED), "done").await,
                3 => operator.settle(&record, Settle::Fail(None), "it failed").await,
                4 => operator.erase(&record, "forget it").await,
                _ => continue,
            };
            let _ = changed.unwrap();
        }
    }
}

/// A record, as the events tell it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rebuilt {
    token: Token,
    attempt: u32,
    status: RecordStatus,
}

/// The history of one key.
#[derive(Debug, Default)]
struct History {
    record: Option<Rebuilt>,
    /// Writes of these attempts may have taken effect, though the store said that they failed.
    unsure: HashSet<Token>,
    /// What a release of each attempt puts back.
    before: HashMap<Token, Rebuilt>,
    /// What the record was before its attempt lost it while it retried a write. Either its release
    /// had taken effect, or a reservation without an event took the record over.
    lost: Option<Rebuilt>,
    /// How many reservations may have taken effect, though the store said that they failed.
    hidden: u32,
    /// How many of them other attempts have found.
    found: u32,
}

impl History {
    fn is_of(&self, token: Token) -> bool {
        self.record.is_some_and(|record| record.token == token)
    }

    /// The record of an attempt, or one that an unknown attempt may have taken over.
    fn expect(&self, token: Token, event: &Event) {
        assert!(self.is_of(token) || self.found < self.hidden, "{event:?} after {self:?}");
    }

    /// A release may have taken effect, though the store said that it failed. It has, if the record
    /// is what that would leave.
    fn resolve(&mut self, found: Option<Token>, event: &Event) {
        let current = self.record.map(|record| record.token);
        let before = self.before();
        let found_before = before.map(|record| record.token);
        let is_unsure =
            |token: Option<Token>| token.is_some_and(|token| self.unsure.contains(&token));
        if is_unsure(current) && found != current && found == found_before {
            self.record = before;
        } else if current.is_none() && is_unsure(found) {
            // A record that was gone was written again.
            let attempt = event.attempt.unwrap();
            let attempt = if event.token == found { attempt } else { attempt - 1 };
            let status = RecordStatus::Pending;
            self.record = found.map(|token| Rebuilt { token, attempt, status });
        }
    }

    fn expect_other(&self, token: Token, event: &Event) {
        assert!(!self.is_of(token) || self.found < self.hidden, "{event:?} after {self:?}");
    }

    fn apply(&mut self, event: &Event) {
        let at = |status| Rebuilt {
            token: event.token.unwrap(),
            attempt: event.attempt.unwrap(),
            status,
        };
        match &event.kind {
            EventKind::Reserved { replaces, .. } => self.resolve(*replaces, event),
            // These say nothing of the record: its attempt may be late.
            EventKind::NotStored(_)
            | EventKind::Rejected { .. }
            | EventKind::LeaseLost(_)
            | EventKind::WriteRetried(_) => {}
            _ => self.resolve(event.token, event),
        }
        match &event.kind {
            EventKind::Reserved { replaces: None, previous, is_in_doubt } => {
                assert!(previous.is_none() && !is_in_doubt && event.attempt == Some(1));
                assert!(self.record.is_none(), "{event:?} after {self:?}");
                self.record = Some(at(RecordStatus::Pending));
            }
            EventKind::Reserved { replaces: Some(replaced), previous, is_in_doubt } => {
                assert!(previous.is_some() && *is_in_doubt);
                self.take_over(*replaced, event);
                self.record = Some(at(RecordStatus::Pending));
                let before = Rebuilt { token: *replaced, ..at(status_of(previous.unwrap())) };
                self.before.insert(event.token.unwrap(), before);
            }
            EventKind::Completed { .. } => self.settle(RecordStatus::Success, event),
            EventKind::Failed { .. } => self.settle(RecordStatus::Failed, event),
            EventKind::Abandoned => self.settle(RecordStatus::Pending, event),
            EventKind::Released => {
                self.expect(event.token.unwrap(), event);
                self.record = None;
            }
            EventKind::PutBack { previous, token } => {
                self.expect(event.token.unwrap(), event);
                let status = status_of(*previous);
                self.record = Some(Rebuilt { token: token.unwrap(), ..at(status) });
            }
            EventKind::WriteRetried(_) => {
                self.unsure.insert(event.token.unwrap());
            }
            EventKind::NotStored(NotStored::LeaseLost) => {
                let token = event.token.unwrap();
                if self.unsure.remove(&token) && self.is_of(token) {
                    // A release that was retried: it took effect the first time. Or another attempt
                    // took over.
                    self.lost = self.record;
                    self.record = self.before();
                } else {
                    self.expect_other(token, event);
                }
            }
            EventKind::Replayed { .. } => {
                let token = event.token.unwrap();
                let is_success = self.record.unwrap().status == RecordStatus::Success;
                assert!(self.is_of(token) && (is_success || self.unsure.contains(&token)));
            }
            EventKind::Rejected { code } => {
                self.hidden += u32::from(*code == "idempotency_store_unavailable");
            }
            EventKind::Changed { action, token, .. } => {
                let status = match action {
                    OperatorAction::Release | OperatorAction::Erase => None,
                    OperatorAction::Fail => Some(RecordStatus::Failed),
                    _ => Some(RecordStatus::Success),
                };
                self.take_over_as_it_is(event);
                self.record = status.map(|status| Rebuilt { token: token.unwrap(), ..at(status) });
            }
            // A write is given up at the end of the run, and may have taken effect.
            EventKind::NotStored(NotStored::GivenUp)
            | EventKind::Renewed
            | EventKind::LeaseLost(_) => {}
            other => panic!("{other:?}"),
        }
    }

    /// The attempt counts one on from the record that it replaces.
    fn take_over(&mut self, replaced: Token, event: &Event) {
        let before = self.record.map_or(0, |record| record.attempt);
        let attempt = event.attempt.unwrap();
        if self.is_of(replaced) {
            assert_eq!(attempt, before + 1, "{event:?} after {self:?}");
            return;
        }
        // Reservations without an event lie between.
        self.find_hidden(attempt - 1, event);
    }

    /// An operator has changed the record that it saw.
    fn take_over_as_it_is(&mut self, event: &Event) {
        if !self.is_of(event.token.unwrap()) {
            self.find_hidden(event.attempt.unwrap(), event);
        }
    }

    /// The record is of an attempt without an event, which has this number. The fewest reservations
    /// that explain it count.
    fn find_hidden(&mut self, attempt: u32, event: &Event) {
        let released = self.before().filter(|_| self.is_unsure());
        let known = [self.lost.take(), self.record, released].into_iter().flatten();
        let known = known.map(|record| record.attempt).filter(|known| *known < attempt).max();
        self.found += attempt - known.unwrap_or_default();
        assert!(self.found <= self.hidden, "{event:?} after {self:?}");
    }

    /// What a release of the record's attempt puts back.
    fn before(&self) -> Option<Rebuilt> {
        self.record.and_then(|record| self.before.get(&record.token).copied())
    }

    /// Whether the last write of the record's attempt may have taken effect.
    fn is_unsure(&self) -> bool {
        self.record.is_some_and(|record| self.unsure.contains(&record.token))
    }

    fn settle(&mut self, status: RecordStatus, event: &Event) {
        let (token, attempt) = (event.token.unwrap(), event.attempt.unwrap());
        // A record that is gone is written again, if the key is free.
        let gone = Rebuilt { token, attempt, status };
        if !self.is_of(token) && self.is_unsure() && self.before().is_none() {
            // The release of a first attempt had taken effect, and an earlier one was late.
            self.record = None;
        }
        if self.record.is_some() {
            self.expect(token, event);
        }
        self.record.get_or_insert(gone).status = status;
        self.unsure.remove(&token);
    }

    /// Whether this is what the last write of an attempt left that was given up at the end of the run:
    /// the end of the attempt, or what its release put back.
    fn may_have_been_given_up(&self, stored: Option<Rebuilt>) -> bool {
        let ends = |stored: Rebuilt| {
            self.unsure.contains(&stored.token)
                && self.record.is_none_or(|record| {
                    (record.token, record.attempt) == (stored.token, stored.attempt)
                })
        };
        stored.is_some_and(ends) || (self.is_unsure() && stored == self.before())
    }

    /// Compares what the events say with what the store says.
    fn compare(&self, shown: &Shown) {
        let stored = shown.record.as_ref().map(|record| Rebuilt {
            token: record.token,
            attempt: record.attempt,
            status: record.state.status(),
        });
        if stored == self.record || self.may_have_been_given_up(stored) {
            return;
        }
        // The last reservation has no event, and no attempt has found it yet.
        let before = self.record.map_or(0, |record| record.attempt);
        let stored = stored.unwrap_or_else(|| panic!("{shown:?} is {self:?}"));
        assert_eq!(stored.status, RecordStatus::Pending, "{shown:?} is {self:?}");
        assert!(stored.attempt > before && self.found < self.hidden, "{shown:?} is {self:?}");
    }
}

/// What the record of an attempt that ended so says.
fn status_of(previous: PreviousAttempt) -> RecordStatus {
    match previous {
        PreviousAttempt::Failed { .. } => RecordStatus::Failed,
        PreviousAttempt::Abandoned => RecordStatus::Pending,
        other => panic!("{other:?}"),
    }
}

fn count<T: std::hash::Hash + Eq>(all: impl IntoIterator<Item = T>) -> HashMap<T, usize> {
    let mut counts = HashMap::new();
    all.into_iter().for_each(|one| *counts.entry(one).or_default() += 1);
    counts
}

/// Returns how often each kind of event was told.
async fn run(seed: u64) -> HashMap<&'static str, usize> {
    let draw = Draw::from_seed(seed);
    let store = Flaky { inner: MemoryStore::new(), draw: Arc::new(Mutex::new(draw.part("store"))) };
    let layer = layer_over(DynStore::new(store.clone()))
        .scope(|_| Scope::new("acct_1"))
        .lease(Duration::from_millis(150))
        .in_flight(InFlight::Wait(Duration::from_millis(200)));
    let (layer, mut notices) = told(layer);
    let (ledger, responses) = (Ledger::default(), Responses::default());
    let router = handler(&ledger, &draw).layer(layer.clone());
    let operator = layer.operator("night shift").unwrap();
    let operating = tokio::spawn(operate(operator.clone(), draw.part("operator")));
    let clients = (0..CLIENTS).map(|number| {
        let draw = draw.part(&format!("client {number}"));
        tokio::spawn(client(router.clone(), draw, Arc::clone(&responses)))
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    operating.abort();
    let events = events(&layer, &mut notices).await;

    let mut histories: HashMap<StorageKey, History> = HashMap::new();
    for event in &events {
        histories.entry(event.key).or_default().apply(event);
    }
    let names: HashMap<_, _> = (0..KEYS)
        .map(|number| {
            let name = format!("order-{number}");
            let key = tower_idempotency::IdempotencyKey::parse(name.as_bytes()).unwrap();
            (operator.storage_key(&Scope::new("acct_1"), &key), name)
        })
        .collect();
    for (key, history) in &histories {
        history.compare(&store.show(key).await.unwrap());
    }

    // Each reservation ran the handler once, and nothing else did.
    let is_reserved = |event: &&Event| matches!(event.kind, EventKind::Reserved { .. });
    let reserved = events.iter().filter(is_reserved);
    let reserved = count(reserved.map(|event| (names[&event.key].clone(), event.attempt.unwrap())));
    assert_eq!(reserved, count(ledger.lock().unwrap().iter().cloned()));

    // Each replay and each rejection was a response.
    let mut of_clients = responses.lock().unwrap().clone();
    of_clients.remove("executed");
    let told = events.iter().filter_map(|event| match event.kind {
        EventKind::Replayed { .. } => Some("replayed".to_owned()),
        EventKind::Rejected { code } => Some(code.to_owned()),
        _ => None,
    });
    assert_eq!(count(told), of_clients);
    count(events.iter().map(|event| event.kind.word()))
}

#[tokio::test(start_paused = true)]
async fn the_history_of_every_record_can_be_rebuilt_from_the_events() {
    let mut all = HashMap::new();
    for seed in 0..8 {
        for (kind, number) in run(seed).await {
            *all.entry(kind).or_default() += number;
        }
    }
    // The runs had all of it.
    for kind in [
        "reserved",
        "renewed",
        "lease-lost",
        "completed",
        "failed",
        "released",
        "put-back",
        "write-retried",
        "not-stored",
        "replayed",
        "rejected",
        "changed",
    ] {
        assert!(all.get(kind).is_some_and(|number: &usize| *number > 10), "{kind}: {all:?}");
    }
}
