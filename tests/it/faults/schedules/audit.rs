//! The audit compares the responses under a key with the effects under it. It does no IO.

use super::history::{At, Effect, History, Response};

/// The behavior that a schedule allows.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    /// Whether an attempt that was cut off is run again.
    pub(super) reruns_abandoned: bool,
    /// Whether retries of a failed attempt are rejected.
    pub(super) rejects_failed: bool,
    /// Every fault: its beginning and its end.
    pub(super) faults: Vec<Span>,
    /// Those after which the store may have lost writes that it had acknowledged.
    pub(super) losses: Vec<Span>,
    /// How long after its end a fault still has consequences.
    pub(super) aftermath: At,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) from: At,
    pub(super) to: At,
}

/// What must not happen.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Violation {
    /// Two effects under one attempt number, and nothing that could have lost the record between
    /// them.
    RanTwice { attempt: u32 },
    /// A second attempt, where retries of one that was cut off are to be rejected.
    RanAgain { attempt: u32 },
    /// A second attempt, and no fault that could have cut off the first.
    RanAgainWithoutFault { attempt: u32 },
    /// An effect of a handler that fails before it has one.
    EffectOfFailure,
    /// A success that tells of no effect in the ledger.
    ResponseWithoutEffect { id: Option<String> },
    /// Two responses that tell of one effect in different ways.
    Differing,
    /// Two replays that differ, and nothing that could have lost the record between them.
    DifferingReplays,
    /// A replay of another attempt than the last.
    ReplayOfAnEarlierAttempt { attempt: u64, last: u32 },
    /// Another response after a replay, and nothing that could have lost the record between them.
    WentBack { status: u16, code: Option<String> },
    /// A response that nothing accounts for.
    Unexpected { status: u16, code: Option<String> },
    /// No definitive response, long after the last fault.
    Stuck,
}

/// The result of the audit of one key, or of many together.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Findings {
    /// Effects beyond the first by an attempt after one that was cut off.
    pub(super) abandoned: usize,
    /// Keys run again although a client had been told of the attempt that was taken for cut off.
    pub(super) told: usize,
    /// Effects beyond the first because the store had lost the record.
    pub(super) lost: usize,
    /// Effects beyond the first that nothing accounts for.
    pub(super) other: usize,
    /// Keys whose responses differ although they should not.
    pub(super) differing: usize,
    /// Keys whose responses differ because there is more than one effect.
    pub(super) differing_in_doubles: usize,
    pub(super) stuck: usize,
    pub(super) violations: Vec<Violation>,
}

/// Judges one key; `effects` are those under it.
pub(super) fn audit(history: &History, effects: &[Effect], rules: &Rules) -> Findings {
    let mut effects = effects.to_vec();
    effects.sort_by_key(|effect| effect.at);
    let audit = Audit { history, effects, rules };
    let mut findings = Findings::default();
    audit.doubles(&mut findings);
    audit.responses(&mut findings);
    audit.replays(&mut findings);
    if history.is_stuck {
        findings.stuck = 1;
        findings.violations.push(Violation::Stuck);
    }
    findings
}

struct Audit<'a> {
    history: &'a History,
    effects: Vec<Effect>,
    rules: &'a Rules,
}

impl Audit<'_> {
    /// A second effect under one attempt number means that the record was gone in between. Every
    /// other number means that an attempt before it was cut off. The order tells nothing: a process
    /// that was stopped may have the effect of attempt 1 after the effect of attempt 2.
    fn doubles(&self, findings: &mut Findings) {
        let mut numbers = Vec::new();
        for effect in &self.effects {
            if self.history.fails {
                findings.violations.push(Violation::EffectOfFailure);
            }
            let attempt = effect.attempt;
            if numbers.contains(&attempt) {
                if self.is_near(&self.rules.losses, effect.at) {
                    findings.lost += 1;
                } else {
                    findings.other += 1;
                    findings.violations.push(Violation::RanTwice { attempt });
                }
                continue;
            }
            let is_double = !numbers.is_empty();
            numbers.push(attempt);
            let problem = if attempt > 1 && !self.rules.reruns_abandoned {
                Some(Violation::RanAgain { attempt })
            } else if (attempt > 1 || is_double) && !self.is_near(&self.rules.faults, effect.at) {
                Some(Violation::RanAgainWithoutFault { attempt })
            } else {
                None
            };
            findings.abandoned += usize::from(is_double && problem.is_none());
            findings.other += usize::from(is_double && problem.is_some());
            findings.violations.extend(problem);
        }
    }

    fn responses(&self, findings: &mut Findings) {
        let mut successes: Vec<&Response> = Vec::new();
        for (heard, response) in self.history.responses() {
            if response.is_success() {
                successes.push(response);
            } else if !response.is_for_now() && !self.is_expected(response, heard.ended) {
                let (status, code) = (response.status, response.code());
                findings.violations.push(Violation::Unexpected { status, code });
            }
        }
        let mut kinds: Vec<&Response> = Vec::new();
        for response in successes {
            let id = response.id();
            if !self.effects.iter().any(|effect| Some(&effect.id) == id.as_ref()) {
                findings.violations.push(Violation::ResponseWithoutEffect { id });
            }
            if !kinds.iter().any(|kind| is_same(kind, response)) {
                kinds.push(response);
            }
        }
        let told = |attempt| {
            kinds.iter().any(|response| response.attempt().is_some_and(|told| told < attempt))
        };
        let last = self.effects.iter().map(|effect| effect.attempt).max().unwrap_or_default();
        findings.told = usize::from(findings.abandoned > 0 && told(u64::from(last)));
        let of_one_effect = kinds
            .iter()
            .enumerate()
            .any(|(index, kind)| kinds[..index].iter().any(|other| other.id() == kind.id()));
        if of_one_effect || (kinds.len() > 1 && self.effects.len() < 2) {
            findings.differing = 1;
            findings.violations.push(Violation::Differing);
        } else if kinds.len() > 1 {
            findings.differing_in_doubles = 1;
        }
    }

    /// A rejection, or the failure of a handler that was told to fail.
    fn is_expected(&self, response: &Response, at: At) -> bool {
        match (response.status, response.code().as_deref()) {
            (409, Some("idempotency_outcome_unknown")) => {
                !self.rules.reruns_abandoned && self.is_near(&self.rules.faults, at)
            }
            (409, Some("idempotency_attempt_failed")) => {
                self.history.fails && self.rules.rejects_failed
            }
            (500, None) => self.history.fails,
            _ => false,
        }
    }

    /// A replay is the end: from then on the record is replayed, as long as nothing can have lost
    /// it.
    fn replays(&self, findings: &mut Findings) {
        let is_replay = |response: &Response| response.is_replay && response.is_success();
        let replays: Vec<_> =
            self.history.responses().filter(|(_, response)| is_replay(response)).collect();
        let Some((first_heard, first)) = replays.iter().min_by_key(|(heard, _)| heard.ended) else {
            return;
        };
        if self.is_near(&self.rules.losses, At::MAX) {
            return;
        }
        if replays.iter().any(|(_, response)| !is_same(first, response)) {
            findings.violations.push(Violation::DifferingReplays);
            findings.differing = 1;
        }
        let last = self.effects.iter().map(|effect| effect.attempt).max().unwrap_or_default();
        if let Some(attempt) = first.attempt().filter(|attempt| *attempt != u64::from(last)) {
            findings.violations.push(Violation::ReplayOfAnEarlierAttempt { attempt, last });
        }
        let later = self.history.responses().filter(|(heard, _)| heard.begun > first_heard.ended);
        for (_, response) in
            later.filter(|(_, response)| !is_replay(response) && response.status != 503)
        {
            let (status, code) = (response.status, response.code());
            findings.violations.push(Violation::WentBack { status, code });
        }
    }

    /// Whether one of these faults, or its aftermath, falls between the first request and `until`.
    fn is_near(&self, spans: &[Span], until: At) -> bool {
        let first = self.history.first_sent();
        spans.iter().any(|span| span.from <= until && span.to + self.rules.aftermath >= first)
    }
}

fn is_same(one: &Response, other: &Response) -> bool {
    (one.status, &one.location, &one.body) == (other.status, &other.location, &other.body)
}

impl Findings {
    pub(super) fn doubles(&self) -> usize {
        self.abandoned + self.lost + self.other
    }

    pub(super) fn add(&mut self, other: Self) {
        self.abandoned += other.abandoned;
        self.told += other.told;
        self.lost += other.lost;
        self.other += other.other;
        self.differing += other.differing;
        self.differing_in_doubles += other.differing_in_doubles;
        self.stuck += other.stuck;
        self.violations.extend(other.violations);
    }
}

mod tests;
