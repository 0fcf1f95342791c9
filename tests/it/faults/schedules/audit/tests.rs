//! The audit finds each kind of violation, and lets pass what is allowed.

use bytes::Bytes;
use serde_json::json;

use super::super::history::{Heard, Said};
use super::*;

fn rules() -> Rules {
    Rules {
        reruns_abandoned: true,
        rejects_failed: false,
        faults: vec![],
        losses: vec![],
        aftermath: 10,
    }
}

/// Rules of a schedule with a fault from 100 to 200, after which a record may or may not be gone.
fn rules_with_fault(may_lose: bool) -> Rules {
    let span = Span { from: 100, to: 200 };
    Rules { faults: vec![span], losses: if may_lose { vec![span] } else { vec![] }, ..rules() }
}

fn rejecting() -> Rules {
    Rules { reruns_abandoned: false, ..rules_with_fault(false) }
}

fn effect(attempt: u32, id: &str, at: At) -> Effect {
    Effect { key: "k".into(), attempt, id: id.into(), at }
}

fn heard(at: At, status: u16, is_replay: bool, body: &serde_json::Value) -> Heard {
    let location = body.get("id").map(|id| format!("/payments/{id}"));
    let response = Response { status, is_replay, location, body: Bytes::from(body.to_string()) };
    Heard { begun: at, ended: at + 5, sandbox: 0, said: Said::Response(response) }
}

fn success(at: At, attempt: u32, id: &str) -> Heard {
    heard(at, 201, false, &json!({ "id": id, "attempt": attempt }))
}

fn replay(at: At, attempt: u32, id: &str) -> Heard {
    heard(at, 201, true, &json!({ "id": id, "attempt": attempt }))
}

fn rejection(at: At, status: u16, code: &str) -> Heard {
    heard(at, status, false, &json!({ "code": code }))
}

fn history(heard: Vec<Heard>) -> History {
    History { key: "k".into(), order: String::new(), fails: false, is_stuck: false, heard }
}

fn violations(heard: Vec<Heard>, effects: &[Effect], rules: &Rules) -> Vec<Violation> {
    audit(&history(heard), effects, rules).violations
}

#[test]
fn one_effect_with_one_response_and_its_replays_is_right() {
    let heard = vec![
        rejection(1, 503, "idempotency_store_unavailable"),
        rejection(2, 409, "idempotency_key_in_flight"),
        success(3, 1, "a"),
        replay(20, 1, "a"),
        rejection(30, 503, "idempotency_store_unavailable"),
    ];
    let findings = audit(&history(heard), &[effect(1, "a", 5)], &rules());
    assert_eq!(findings, Findings::default());
}

#[test]
fn a_second_effect_under_one_attempt_number_is_lost_or_a_violation() {
    let heard = || vec![success(90, 1, "a"), success(150, 1, "b")];
    let effects = [effect(1, "a", 92), effect(1, "b", 152)];
    assert_eq!(
        violations(heard(), &effects, &rules_with_fault(false)),
        [Violation::RanTwice { attempt: 1 }]
    );
    let findings = audit(&history(heard()), &effects, &rules_with_fault(true));
    assert_eq!((findings.lost, findings.abandoned, findings.other), (1, 0, 0));
    assert_eq!((findings.differing, findings.differing_in_doubles), (0, 1));
    assert_eq!(findings.violations, []);
}

#[test]
fn a_loss_before_the_first_request_or_after_the_second_effect_excuses_nothing() {
    for (first, second) in [(220, 230), (80, 90)] {
        let effects = [effect(1, "a", first), effect(1, "b", second)];
        let findings =
            audit(&history(vec![success(first, 1, "a")]), &effects, &rules_with_fault(true));
        assert_eq!((findings.lost, findings.other), (0, 1));
        assert_eq!(findings.violations, [Violation::RanTwice { attempt: 1 }]);
    }
}

#[test]
fn a_second_attempt_is_abandoned_whichever_effect_came_first() {
    for effects in
        [[effect(1, "a", 92), effect(2, "b", 152)], [effect(2, "b", 152), effect(1, "a", 190)]]
    {
        let heard = vec![success(90, 1, "a"), replay(195, 2, "b")];
        let findings = audit(&history(heard), &effects, &rules_with_fault(false));
        assert_eq!((findings.lost, findings.abandoned, findings.other), (0, 1, 0));
        assert_eq!((findings.told, findings.differing_in_doubles), (1, 1));
        assert_eq!(findings.violations, []);
    }
}

#[test]
fn a_second_attempt_is_a_violation_where_it_is_to_be_rejected() {
    let effects = [effect(1, "a", 92), effect(2, "b", 152)];
    let heard = vec![success(90, 1, "a")];
    assert_eq!(violations(heard, &effects, &rejecting()), [Violation::RanAgain { attempt: 2 }]);
    // Even when the first attempt had no effect.
    let heard = vec![success(150, 2, "b")];
    assert_eq!(
        violations(heard, &effects[1..], &rejecting()),
        [Violation::RanAgain { attempt: 2 }]
    );
}

#[test]
fn a_second_attempt_without_a_fault_that_cut_off_the_first_is_a_violation() {
    let effects = [effect(1, "a", 302), effect(2, "b", 352)];
    let found = violations(vec![success(300, 1, "a")], &effects, &rules_with_fault(false));
    assert_eq!(found, [Violation::RanAgainWithoutFault { attempt: 2 }]);
}

#[test]
fn an_effect_of_a_handler_that_fails_first_is_a_violation() {
    let failing = History { fails: true, ..history(vec![heard(1, 500, false, &json!({}))]) };
    assert_eq!(audit(&failing, &[], &rules()).violations, []);
    let findings = audit(&failing, &[effect(1, "a", 2)], &rules());
    assert_eq!(findings.violations, [Violation::EffectOfFailure]);
}

#[test]
fn a_success_without_its_effect_is_a_violation() {
    let none = Violation::ResponseWithoutEffect { id: Some("a".into()) };
    assert_eq!(violations(vec![success(1, 1, "a")], &[], &rules()), std::slice::from_ref(&none));
    assert_eq!(violations(vec![success(1, 1, "a")], &[effect(1, "b", 2)], &rules()), [none]);
    let nameless = heard(1, 204, false, &json!({}));
    let found = violations(vec![nameless], &[effect(1, "b", 2)], &rules());
    assert_eq!(found, [Violation::ResponseWithoutEffect { id: None }]);
}

#[test]
fn two_responses_that_tell_of_one_effect_in_different_ways_are_a_violation() {
    let effects = [effect(1, "a", 92), effect(2, "b", 152)];
    let other = heard(60, 201, false, &json!({ "id": "a", "attempt": 1, "more": true }));
    let findings =
        audit(&history(vec![success(50, 1, "a"), other.clone()]), &effects[..1], &rules());
    assert_eq!((findings.differing, findings.violations), (1, vec![Violation::Differing]));
    // A double excuses only responses that tell of different effects.
    let findings =
        audit(&history(vec![success(90, 1, "a"), other]), &effects, &rules_with_fault(false));
    assert_eq!((findings.differing, findings.violations), (1, vec![Violation::Differing]));
    let mut elsewhere = success(60, 1, "a");
    if let Said::Response(response) = &mut elsewhere.said {
        response.location = None;
    }
    let found = violations(vec![success(50, 1, "a"), elsewhere], &effects[..1], &rules());
    assert_eq!(found, [Violation::Differing]);
}

#[test]
fn replays_that_differ_are_a_violation_unless_the_record_may_have_been_lost() {
    let effects = [effect(1, "a", 92), effect(2, "b", 152)];
    let heard = || vec![replay(150, 2, "b"), replay(180, 1, "a")];
    let found = violations(heard(), &effects, &rules_with_fault(false));
    assert_eq!(found, [Violation::DifferingReplays]);
    assert_eq!(violations(heard(), &effects, &rules_with_fault(true)), []);
}

#[test]
fn a_replay_of_an_attempt_that_was_overtaken_is_a_violation() {
    let effects = [effect(1, "a", 92), effect(2, "b", 152)];
    let found = violations(vec![replay(90, 1, "a")], &effects, &rules_with_fault(false));
    assert_eq!(found, [Violation::ReplayOfAnEarlierAttempt { attempt: 1, last: 2 }]);
}

#[test]
fn whatever_comes_after_a_replay_but_a_replay_or_an_outage_is_a_violation() {
    let effects = [effect(1, "a", 92)];
    for (code, status) in [("idempotency_outcome_unknown", 409), ("idempotency_key_in_flight", 409)]
    {
        let heard = vec![replay(95, 1, "a"), rejection(150, status, code)];
        let went_back = Violation::WentBack { status, code: Some(code.into()) };
        assert_eq!(violations(heard, &effects, &rejecting()), [went_back]);
    }
    // A request that was under way already may have seen the record before.
    let heard = vec![replay(95, 1, "a"), rejection(99, 409, "idempotency_key_in_flight")];
    assert_eq!(violations(heard, &effects, &rejecting()), []);
}

#[test]
fn a_rejection_for_good_that_nothing_accounts_for_is_a_violation() {
    let codes = [
        (409, "idempotency_outcome_unknown"),
        (409, "idempotency_attempt_failed"),
        (409, "idempotency_key_reused"),
        (409, "idempotency_result_not_retained"),
        (400, "request_unreadable"),
        (500, "internal"),
    ];
    for (status, code) in codes {
        let unexpected = Violation::Unexpected { status, code: Some(code.into()) };
        assert_eq!(
            violations(vec![rejection(150, status, code)], &[], &rules_with_fault(false)),
            [unexpected]
        );
    }
    let unknown = || vec![rejection(150, 409, "idempotency_outcome_unknown")];
    assert_eq!(violations(unknown(), &[], &rejecting()), []);
    // Nothing was there to cut anything off.
    let quiet = Rules { faults: vec![], ..rejecting() };
    assert_eq!(violations(unknown(), &[], &quiet).len(), 1);
}

#[test]
fn a_key_without_a_definitive_response_is_stuck() {
    let stuck = History { is_stuck: true, ..history(vec![]) };
    let findings = audit(&stuck, &[], &rules());
    assert_eq!((findings.stuck, findings.violations), (1, vec![Violation::Stuck]));
}
