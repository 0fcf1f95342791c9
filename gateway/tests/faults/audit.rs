//! Compares the effects with the responses that clients got.

use std::collections::HashMap;

use serde_json::Value;

use crate::Policy;
use crate::client::Definitive;

/// What a client has done for one operation.
#[derive(Debug, Clone)]
pub(crate) struct Paid {
    pub(crate) key: String,
    pub(crate) order: String,
    pub(crate) response: Definitive,
    pub(crate) requests: usize,
    pub(crate) is_stuck: bool,
}

#[derive(Debug)]
struct Effect {
    id: String,
    is_in_doubt: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Audit {
    pub(crate) effects: usize,
    /// Effects beyond the first of a key, of attempts that were told that they are in doubt.
    pub(crate) doubles: usize,
    pub(crate) problems: Vec<String>,
}

impl Audit {
    pub(crate) fn new(policy: Policy, paid: &[Paid], ledger: &str) -> Self {
        let mut effects: HashMap<String, Vec<Effect>> = HashMap::new();
        let mut audit = Self::default();
        for line in ledger.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let text = |name: &str| line[name].as_str().unwrap().to_owned();
            let effect = Effect { id: text("id"), is_in_doubt: text("in_doubt") == "true" };
            effects.entry(text("key")).or_default().push(effect);
            audit.effects += 1;
        }
        for one in paid {
            let of_key = effects.remove(&one.key).unwrap_or_default();
            audit.operation(policy, one, &of_key);
        }
        if let Some(key) = effects.keys().next() {
            audit.problems.push(format!("{key}: an effect that nobody asked for"));
        }
        audit
    }

    fn operation(&mut self, policy: Policy, paid: &Paid, effects: &[Effect]) {
        let key = &paid.key;
        let mut problem =
            |text: &str| self.problems.push(format!("{key}: {text}: {paid:?} {effects:?}"));
        if paid.is_stuck {
            problem("it is stuck");
        }
        if paid.response.status == 201 {
            let body: Value = serde_json::from_str(&paid.response.body).unwrap();
            if !effects.iter().any(|effect| body["id"] == effect.id.as_str()) {
                problem("a response without an effect");
            }
        }
        let beyond_the_first = effects.get(1..).unwrap_or_default();
        if policy == Policy::Refuse && !beyond_the_first.is_empty() {
            problem("a second effect under refuse");
        }
        if beyond_the_first.iter().any(|effect| !effect.is_in_doubt) {
            problem("a second effect of an attempt that did not know of the first");
        }
        self.doubles += beyond_the_first.len();
    }
}
