//! Compares effects, responses and records with what the operators did.

use std::fmt;

use tower_idempotency::operate::Operator;
use tower_idempotency::store::{DynStore, State, Store};

use super::chain::Chains;
use super::notes::{Notes, OfKey};
use super::operators::{Action, Deed};
use super::worker::{AT_ONCE, hex, key, layer, scope};

/// What a run came to.
#[derive(Debug, Default)]
pub(super) struct Figures {
    calls: usize,
    keys: usize,
    effects: usize,
    pub(super) interventions: usize,
    doubles: usize,
    /// Reservations whose event a killed process did not write any more.
    unknown: usize,
    pub(super) problems: Vec<String>,
}

pub(super) async fn audit(
    store: &DynStore,
    notes: &Notes,
    deeds: &[Deed],
    kills: usize,
) -> Figures {
    let operator = layer(store.clone()).operator("audit").unwrap();
    let mut figures = Figures {
        calls: notes.calls,
        keys: notes.keys.len(),
        interventions: deeds.len(),
        problems: notes.problems.clone(),
        ..Figures::default()
    };
    let mut chains = Chains::default();
    for (number, of_key) in &notes.keys {
        let name = operator.storage_key(&scope(), &key(*number));
        let mut of_operators: Vec<_> = deeds.iter().filter(|deed| deed.key == name).collect();
        of_operators.sort_by_key(|deed| deed.applied);
        figures.effects += of_key.effects.len();
        figures.doubles += of_key.effects.len().saturating_sub(1);
        let mut problems = judge(of_key, &of_operators);
        problems.extend(stored(store, &operator, of_key, &of_operators, name).await);
        let record = store.inspect(&name).await.unwrap();
        let events = notes.events.get(&name.to_hex()).map_or(&[][..], Vec::as_slice);
        let last = record.map(|record| hex(record.token));
        problems.extend(chains.follow(events, last.as_deref()));
        figures.problems.extend(problems.into_iter().map(|problem| {
            format!("key-{number} {name}: {problem}: {of_key:?}, operators: {of_operators:?}")
        }));
    }
    // The last events of a process that is killed are lost with it, and no others.
    figures.unknown = chains.unknown;
    if chains.unknown > kills * AT_ONCE {
        figures.problems.push(format!("{} reservations without an event", chains.unknown));
    }
    figures
}

/// Judges what clients and the ledger say.
fn judge(of_key: &OfKey, deeds: &[&Deed]) -> Vec<String> {
    let mut problems = Vec::new();
    let asked =
        deeds.iter().filter(|deed| matches!(deed.action, Action::Release | Action::Erase)).count();
    if of_key.effects.len() > 1 + asked {
        problems.push("a second effect that no operator asked for".to_owned());
    }
    for (begun, ended, id, is_replay) in &of_key.heard {
        let is_settled = deeds.iter().any(|deed| deed.action == Action::Respond && deed.id == *id);
        if !is_settled && !of_key.effects.contains(id) {
            problems.push(format!("a response from nowhere: {id}"));
        }
        // The last settlement before the call that was not erased since.
        let valid = deeds.iter().enumerate().rfind(|(index, deed)| {
            let mut later = deeds[index + 1..].iter();
            deed.action == Action::Respond
                && deed.applied < *begun
                && !later.any(|later| later.action == Action::Erase && later.sent < *ended)
        });
        if let Some((_, deed)) = valid
            && deed.id != *id
        {
            problems
                .push(format!("a settlement was lost: {} was settled, {id} was heard", deed.id));
        }
        // A response that was stored is changed by an erasure only.
        let is_undisturbed = !is_replay && deeds.iter().all(|deed| deed.sent > *ended);
        if is_undisturbed && deeds.first().is_some_and(|deed| deed.action != Action::Erase) {
            problems.push(format!("a stored response was overwritten: {id}"));
        }
    }
    problems
}

/// Judges what the store says in the end.
async fn stored(
    store: &DynStore,
    operator: &Operator<DynStore>,
    of_key: &OfKey,
    deeds: &[&Deed],
    name: tower_idempotency::store::StorageKey,
) -> Vec<String> {
    let mut problems = Vec::new();
    let history = operator.show(&name).await.unwrap().history;
    if history.len() != deeds.len() {
        problems.push(format!("{} audit entries: {history:?}", history.len()));
    }
    let record = store.inspect(&name).await.unwrap();
    let id = record.and_then(|record| match record.state {
        State::Success(outcome) => serde_json::from_slice::<String>(outcome.bytes()).ok(),
        _ => None,
    });
    let last = deeds.iter().rfind(|deed| matches!(deed.action, Action::Respond | Action::Erase));
    match (last, &id) {
        (Some(deed), id) if deed.action == Action::Respond && *id != Some(deed.id.clone()) => {
            problems
                .push(format!("a settlement was lost: {} is not in the store: {id:?}", deed.id));
        }
        (_, Some(id)) if !id.starts_with("operator-") && !of_key.effects.contains(id) => {
            problems.push(format!("a record from nowhere: {id}"));
        }
        _ => {}
    }
    problems
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls, keys, effects, interventions, doubles, unknown, problems } = self;
        let problems = problems.len();
        write!(
            f,
            "calls {calls} · keys {keys} · effects {effects} ({doubles} asked for by operators) · \
             interventions {interventions} · reservations without an event {unknown} · \
             problems {problems}"
        )
    }
}
