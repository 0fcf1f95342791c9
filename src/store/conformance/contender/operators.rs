//! What operators ask of a store, and expect.

use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use tokio::time::Instant;

use super::{Contender, step};
use crate::store::conformance::failure::{Checked, FailureKind, Flaw};
use crate::store::conformance::given::by_hand;
use crate::store::conformance::parallel;
use crate::store::conformance::together::Boxed;
use crate::store::conformance::trial::{Needs, Reply};
use crate::store::operator::{
    AuditEntry, Becomes, Intervened, Intervention, ListFilter, ListRequest, OperatorAction,
    RecordInfo, Shown,
};
use crate::store::{State, Store, StoreErrorKind};

/// How long the entries of a check stay.
const AUDIT: Duration = Duration::from_mins(1);

/// The reply of a store, or nothing if it has no methods for operators.
type IfSupported<T> = Checked<Option<T>>;

impl<S: Store> Contender<'_, S> {
    /// What an operator sees under the key.
    #[track_caller]
    pub(in crate::store::conformance) fn shows(
        &self,
    ) -> impl Future<Output = IfSupported<Shown>> + Send {
        let step = step("show", "an operator looks", Location::caller());
        async move {
            let shown = self.trial.ask(&step, self.trial.store.show(&self.request.key)).await;
            Ok(if_supported(shown)?.map(|reply| reply.value))
        }
    }

    /// The record that an operator sees. It is there.
    #[track_caller]
    pub(in crate::store::conformance) fn shows_record(
        &self,
    ) -> impl Future<Output = IfSupported<RecordInfo>> + Send {
        let shown = self.shows();
        let step = step("show", "an operator looks", Location::caller());
        async move {
            let Some(shown) = shown.await? else { return Ok(None) };
            step.holds(shown.record.is_some(), "the record", "no record")?;
            Ok(shown.record)
        }
    }

    /// An operator changes the record, and the store says so.
    #[track_caller]
    pub(in crate::store::conformance) fn intervenes(
        &self,
        seen: &RecordInfo,
        state: Option<State>,
        expected: &'static str,
    ) -> impl Future<Output = Checked> + Send {
        let step = step("intervene", "an operator changes the record", Location::caller());
        let change = self.intervention(seen, state);
        async move {
            let reply = self.trial.ask(&step, self.trial.store.intervene(&change)).await?;
            let said = word(&reply.value);
            if said == expected {
                return Ok(());
            }
            let needs = Needs::Record(self.request.key);
            Err(self.trial.flaw(&step, needs, reply.ended, expected, said))
        }
    }

    /// Callers make the same change at the same moment. One applies it.
    #[track_caller]
    pub(in crate::store::conformance) fn one_in_parallel_intervenes(
        &self,
        seen: &RecordInfo,
        state: &State,
    ) -> impl Future<Output = Checked> + Send {
        let step = step("intervene", "operators in parallel", Location::caller());
        let change = self.intervention(seen, Some(state.clone()));
        async move {
            let calls = (0..parallel::CALLERS).map(|_| -> Boxed<'_, Checked<Reply<Intervened>>> {
                Box::pin(self.trial.ask(&step, self.trial.store.intervene(&change)))
            });
            let mut words = Vec::new();
            for reply in parallel::all(calls).await {
                words.push(word(&reply?.value));
            }
            let count = |wanted| words.iter().filter(|word| **word == wanted).count();
            let is_right = (count("Applied"), count("Moved")) == (1, 0);
            step.holds(is_right, "one Applied, the others AlreadyApplied", &format!("{words:?}"))
        }
    }

    /// An operator lists the key by its name, and finds it so many times.
    #[track_caller]
    pub(in crate::store::conformance) fn is_listed(
        &self,
        times: usize,
    ) -> impl Future<Output = Checked> + Send {
        let step = step("list", "an operator lists the key", Location::caller());
        async move {
            let filter = ListFilter::new().digits(self.request.key.to_hex());
            let mut request = ListRequest::new(filter);
            let mut found = 0;
            loop {
                let page = self.trial.ask(&step, self.trial.store.list(&request)).await;
                let Some(Reply { value: page, .. }) = if_supported(page)? else { return Ok(()) };
                found += page.records.len();
                match page.next {
                    Some(next) => request = request.after(next),
                    None => break,
                }
            }
            step.holds(found == times, &format!("{times} records"), &format!("{found} records"))
        }
    }

    /// What the operator sees is what is expected.
    #[track_caller]
    pub(in crate::store::conformance) fn sees(
        &self,
        expected: &str,
        holds: bool,
        seen: &RecordInfo,
    ) -> Checked {
        let step = step("show", "an operator looks", Location::caller());
        let needs = Needs::Record(self.request.key);
        if holds {
            return Ok(());
        }
        let said = format!("{}, token {:?}", seen.state.word(), seen.token);
        Err(self.trial.flaw(&step, needs, Instant::now(), expected, said))
    }

    /// The history of the key has so many entries.
    #[track_caller]
    pub(in crate::store::conformance) fn has_history(
        &self,
        entries: usize,
    ) -> impl Future<Output = Checked> + Send {
        let shown = self.shows();
        let step = step("show", "the history", Location::caller());
        async move {
            let Some(shown) = shown.await? else { return Ok(()) };
            let said = format!("{:?}", shown.history);
            step.holds(shown.history.len() == entries, &format!("{entries} entries"), &said)
        }
    }

    fn intervention(&self, seen: &RecordInfo, state: Option<State>) -> Intervention {
        let action = state.as_ref().map_or(OperatorAction::Release, |_| OperatorAction::Respond);
        let entry = AuditEntry::new(by_hand(seen.token), action, "conformance", "a check", seen);
        let becomes = state.map_or(Becomes::Free, |state| {
            let retention = self.units(8.0);
            Becomes::Ended { state, retention }
        });
        Intervention::new(seen.clone(), becomes, entry, AUDIT)
    }
}

fn word(intervened: &Intervened) -> &'static str {
    match intervened {
        Intervened::Applied => "Applied",
        Intervened::AlreadyApplied => "AlreadyApplied",
        Intervened::Moved(_) => "Moved",
    }
}

fn if_supported<T>(reply: Checked<Reply<T>>) -> IfSupported<Reply<T>> {
    match reply {
        Ok(reply) => Ok(Some(reply)),
        Err(Flaw { kind: FailureKind::Error(StoreErrorKind::Unsupported), .. }) => Ok(None),
        Err(flaw) => Err(flaw),
    }
}
