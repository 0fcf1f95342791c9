//! Rebuilds the history of a key from the events alone: which token followed on which.

use std::collections::BTreeSet;

use super::notes::Kind;

/// What the events of all keys leave open.
#[derive(Debug, Default)]
pub(super) struct Chains {
    /// Tokens that no event has made.
    pub(super) unknown: usize,
}

impl Chains {
    /// Follows the events of one key. `last` is the token that its record has in the end.
    pub(super) fn follow(&mut self, events: &[(Kind, String)], last: Option<&str>) -> Vec<String> {
        let mut problems = Vec::new();
        // Each token with the event that made it, and the one that it went by.
        let (mut made, mut gone) = (BTreeSet::new(), BTreeSet::new());
        let (mut ended, mut changes) = (BTreeSet::new(), Vec::new());
        let (mut begins, mut frees) = (0, 0);
        for (kind, token) in events {
            let (new, old) = match kind {
                Kind::Reserved { replaces } => {
                    begins += usize::from(replaces.is_none());
                    (Some(token), replaces.as_ref())
                }
                Kind::Changed { to } => {
                    frees += usize::from(to.is_none());
                    (to.as_ref(), Some(token))
                }
                Kind::Released => {
                    frees += 1;
                    (None, Some(token))
                }
                Kind::Ended => {
                    ended.insert(token.clone());
                    (None, None)
                }
                Kind::Other => (None, None),
            };
            if let Some(new) = new
                && !made.insert(new.clone())
            {
                problems.push(format!("{new} was made twice"));
            }
            if let Some(old) = old {
                gone.insert(old.clone());
                changes.push(old.clone());
            }
        }
        // An attempt whose record was erased while it ran writes its response anew.
        for token in &gone {
            let most = 1 + usize::from(ended.contains(token));
            let followed = changes.iter().filter(|old| *old == token).count();
            if followed > most {
                problems.push(format!("{followed} changes followed on {token}"));
            }
        }
        if begins > frees + 1 {
            problems.push(format!("{begins} first attempts, and the key was free {frees} times"));
        }
        let expected: BTreeSet<_> =
            last.into_iter().chain(gone.iter().map(String::as_str)).collect();
        let unknown = expected.iter().filter(|token| !made.contains(**token)).count();
        self.unknown += unknown;
        // Each other token that was made must have gone: all are accounted for.
        let live: Vec<_> = made.iter().filter(|token| !gone.contains(*token)).collect();
        let is_last = |token: &&&String| last == Some(token.as_str());
        if live.iter().filter(|token| !is_last(token)).count() > unknown {
            problems.push(format!("{live:?} are live, and the record has {last:?}"));
        }
        if !problems.is_empty() {
            problems.push(format!("{events:?}"));
        }
        problems
    }
}
