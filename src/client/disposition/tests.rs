#![allow(clippy::unwrap_used)]

use http::HeaderValue;

use super::*;

const PROBLEM: (&str, &str) = ("content-type", "application/problem+json");
const RETRY_AFTER: (&str, &str) = ("retry-after", "1");
const NEVER: (&str, &str) = ("x-should-retry", "false");
const ALWAYS: (&str, &str) = ("x-should-retry", "true");
const REPLAY: (&str, &str) = ("x-idempotent-result", "true");
const STRIPES_REPLAY: (&str, &str) = ("idempotent-replayed", "true");

fn judged(status: u16, headers: &[(&'static str, &str)], body: &str) -> Disposition {
    let headers = headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
    Disposition::of(StatusCode::from_u16(status).unwrap(), &headers.collect(), body.as_bytes())
}

fn problem(code: &str) -> String {
    format!(r#"{{"type":"about:blank","status":409,"code":"{code}"}}"#)
}

#[test]
fn a_bare_status_is_judged_by_itself() {
    let again = [425, 429, 500, 502, 503, 504];
    let open = [400, 401, 403, 405, 407, 408, 411, 413, 414, 415, 422, 431];
    for status in 100..600 {
        let expected = match status {
            _ if again.contains(&status) => Retry,
            _ if open.contains(&status) || status >= 500 => Unknown,
            _ => Final,
        };
        assert_eq!(judged(status, &[], ""), expected, "{status}");
    }
}

#[test]
fn should_retry_true_is_obeyed_whatever_the_status() {
    for status in [200, 400, 404, 408, 409, 422, 500, 501, 503] {
        assert_eq!(judged(status, &[ALWAYS], ""), Retry, "{status}");
        assert_eq!(judged(status, &[ALWAYS, REPLAY], &problem("idempotency_key_reused")), Retry, "{status}");
        assert_eq!(judged(status, &[("x-should-retry", " TRUE ")], ""), Retry, "{status}");
    }
}

#[test]
fn should_retry_false_is_obeyed_and_leaves_the_key_where_nothing_is_certain() {
    for status in [409, 425, 429, 500, 502, 503, 504] {
        assert_eq!(judged(status, &[NEVER], ""), Unknown, "{status}");
        assert_eq!(judged(status, &[NEVER, RETRY_AFTER], ""), Unknown, "{status}");
    }
    assert_eq!(judged(404, &[NEVER], ""), Final);
    assert_eq!(judged(201, &[NEVER], ""), Final);
}

#[test]
fn another_word_about_retries_is_none() {
    for word in ["", "no", "1", "truefalse"] {
        assert_eq!(judged(503, &[("x-should-retry", word)], ""), Retry, "{word:?}");
        assert_eq!(judged(404, &[("x-should-retry", word)], ""), Final, "{word:?}");
    }
}

#[test]
fn a_conflict_in_flight_is_repeated() {
    assert_eq!(judged(409, &[RETRY_AFTER], ""), Retry);
    assert_eq!(judged(409, &[PROBLEM], &problem("idempotency_key_in_flight")), Retry);
    let with_charset = ("content-type", "Application/Problem+JSON; charset=utf-8");
    assert_eq!(judged(409, &[with_charset], &problem("idempotency_key_in_flight")), Retry);
}

#[test]
fn a_misused_key_is_not_repeated_even_if_the_header_that_says_so_was_lost() {
    for code in ["idempotency_key_reused", "idempotency_outcome_unknown", "idempotency_attempt_failed"] {
        for headers in [&[PROBLEM][..], &[PROBLEM, NEVER], &[PROBLEM, RETRY_AFTER]] {
            assert_eq!(judged(409, headers, &problem(code)), Unknown, "{code} {headers:?}");
        }
    }
    assert_eq!(judged(422, &[PROBLEM, NEVER], &problem("idempotency_key_reused")), Unknown);
    assert_eq!(judged(400, &[PROBLEM, NEVER], &problem("idempotency_key_reused")), Unknown);
}

#[test]
fn an_operation_whose_answer_was_not_kept_is_done() {
    assert_eq!(judged(409, &[PROBLEM, NEVER], &problem("idempotency_result_not_retained")), Final);
}

#[test]
fn a_conflict_of_the_application_is_its_answer() {
    assert_eq!(judged(409, &[], "out of stock"), Final);
    assert_eq!(judged(409, &[PROBLEM], &problem("out_of_stock")), Final);
    assert_eq!(judged(409, &[REPLAY, RETRY_AFTER], ""), Final);
    // A code counts in a problem document only: this body is the application's.
    let json = ("content-type", "application/json");
    assert_eq!(judged(409, &[json], &problem("idempotency_key_in_flight")), Final);
}

#[test]
fn a_replay_never_changes_so_it_is_not_repeated() {
    for replay in [REPLAY, STRIPES_REPLAY] {
        for status in [425, 429, 500, 502, 503, 504] {
            assert_eq!(judged(status, &[replay], ""), Unknown, "{status}");
        }
        for status in [200, 400, 402, 404, 409, 422] {
            assert_eq!(judged(status, &[replay], ""), Final, "{status}");
        }
    }
    for marker in ["false", "unguarded"] {
        assert_eq!(judged(500, &[("x-idempotent-result", marker)], ""), Retry, "{marker}");
    }
}

#[test]
fn a_problem_that_cannot_be_read_is_none() {
    let long = format!(r#"{{"code":"idempotency_key_in_flight","detail":"{}"}}"#, "x".repeat(64 << 10));
    for body in ["", "{", "[]", "null", r#"{"code":7}"#, r#"["idempotency_key_in_flight"]"#, &long] {
        assert_eq!(judged(409, &[PROBLEM], body), Final, "{body:.40}");
        assert_eq!(judged(409, &[PROBLEM, RETRY_AFTER], body), Retry, "{body:.40}");
    }
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_bytes(b"\xff").unwrap());
    assert_eq!(Disposition::of(StatusCode::CONFLICT, &headers, b""), Final);
}
