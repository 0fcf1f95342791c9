//! Operators that change records at random, and write down what was done.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::StatusCode;
use tokio::task::JoinSet;
use tower_idempotency::IdempotencyLayer;
use tower_idempotency::operate::{Operator, Settle, Settled};
use tower_idempotency::store::operator::{
    ListFilter, ListOrder, ListRequest, RecordInfo, RecordState, StateFilter,
};
use tower_idempotency::store::{DynStore, Outcome, StorageKey, StoredBody};

use super::notes::{At, Pen, now};
use super::worker::{layer, noting};
use crate::support::random::Draw;

const OPERATORS: u64 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Release,
    Respond,
    Fail,
    Erase,
}

/// A change that was applied.
#[derive(Debug, Clone)]
pub(super) struct Deed {
    pub(super) key: StorageKey,
    pub(super) action: Action,
    /// The response that was settled.
    pub(super) id: String,
    /// Just before it was sent, and just after it was applied.
    pub(super) sent: At,
    pub(super) applied: At,
}

pub(super) struct Operators {
    is_over: Arc<AtomicBool>,
    running: JoinSet<Vec<Deed>>,
    layer: IdempotencyLayer<DynStore>,
}

impl Operators {
    pub(super) fn start(store: &DynStore, notes: &Path, seed: u64) -> Self {
        let is_over = Arc::<AtomicBool>::default();
        let mut running = JoinSet::new();
        let layer = noting(layer(store.clone()), &Arc::new(Pen::at(notes)), seed);
        for number in 0..OPERATORS {
            let operator = layer.operator(&format!("operator {number}")).unwrap();
            let bold = layer.operator(&format!("bold {number}")).unwrap();
            let one = One {
                operator,
                bold: bold.even_in_flight(),
                draw: Draw::from_seed(seed + number).part("operator"),
                deeds: Vec::new(),
            };
            running.spawn(one.work(Arc::clone(&is_over)));
        }
        Self { is_over, running, layer }
    }

    pub(super) async fn stop(self) -> Vec<Deed> {
        self.is_over.store(true, Ordering::Relaxed);
        let deeds = self.running.join_all().await.into_iter().flatten().collect();
        self.layer.shutdown().await;
        deeds
    }
}

/// One operator.
struct One {
    operator: Operator<DynStore>,
    /// Changes records although their attempts run.
    bold: Operator<DynStore>,
    draw: Draw,
    deeds: Vec<Deed>,
}

impl One {
    async fn work(mut self, is_over: Arc<AtomicBool>) -> Vec<Deed> {
        while !is_over.load(Ordering::Relaxed) {
            let state = self.draw.one_of(&[
                StateFilter::Stuck,
                StateFilter::Stuck,
                StateFilter::InFlight,
                StateFilter::Success,
            ]);
            let order = self.draw.one_of(&[ListOrder::OldestFirst, ListOrder::NewestFirst]);
            let request = ListRequest::new(ListFilter::new().state(state)).order(order).limit(10);
            for record in self.operator.list(&request).await.unwrap().records {
                if self.draw.chance(30) {
                    self.change(record).await;
                }
            }
            tokio::time::sleep(self.draw.millis(1, 20)).await;
        }
        self.deeds
    }

    async fn change(&mut self, seen: RecordInfo) {
        let is_bold = seen.state == RecordState::InFlight && self.draw.chance(20);
        let action = self.draw.one_of(&[
            Action::Release,
            Action::Respond,
            Action::Respond,
            Action::Fail,
            Action::Erase,
        ]);
        // A response that clients get is erased seldom.
        let is_done = matches!(seen.state, RecordState::Success { .. });
        if action == Action::Erase && is_done && self.draw.chance(80) {
            return;
        }
        let id = format!("operator-{:016x}", self.draw.next());
        let sent = now();
        let applied = self.send(&seen, action, &id, is_bold).await;
        if matches!(applied, Settled::Applied) {
            let applied = now();
            let deed = Deed { key: seen.key, action, id: id.clone(), sent, applied };
            self.deeds.push(deed);
            if self.draw.chance(30) {
                let again = self.send(&seen, action, &id, is_bold).await;
                assert!(matches!(again, Settled::AlreadyApplied), "{action:?} again: {again:?}");
            }
        }
    }

    async fn send(&self, seen: &RecordInfo, action: Action, id: &str, is_bold: bool) -> Settled {
        let operator = if is_bold { &self.bold } else { &self.operator };
        let settled = match action {
            Action::Release => operator.release(seen, "at random").await,
            Action::Respond => {
                let bytes = serde_json::to_vec(id).unwrap().into();
                let body = StoredBody::Whole { bytes, trailers: None };
                let settle = Settle::Respond(Outcome::new(StatusCode::OK, body));
                operator.settle(seen, settle, "at random").await
            }
            Action::Fail => operator.settle(seen, Settle::Fail(None), "at random").await,
            Action::Erase => operator.erase(seen, "at random").await,
        };
        settled.unwrap()
    }
}
