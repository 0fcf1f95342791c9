//! Each row of `Disposition::of`, as it looks through the client.

use tower_idempotency::client::Disposition::{self, Final, Retry, Unknown};

use super::{Canned, Turn, ask, connections, post, quick};

const PROBLEM: (&str, &str) = ("content-type", "application/problem+json");
const NOW: (&str, &str) = ("retry-after", "0");
const NEVER: (&str, &str) = ("x-should-retry", "false");
const ALWAYS: (&str, &str) = ("x-should-retry", "true");
const REPLAY: (&str, &str) = ("x-idempotent-result", "true");
const STRIPES_REPLAY: (&str, &str) = ("idempotent-replayed", "true");

/// Asserts what comes of an answer: whether it is given to the caller, or repeated until there is a better one.
async fn assert_is(expected: Disposition, status: u16, headers: &[(&str, &str)], code: &str) {
    let body = if code.is_empty() { String::new() } else { format!(r#"{{"code":"{code}"}}"#) };
    let canned = Canned::turns([Turn::answer(status, headers, &body)]);
    let (_server, uri) = canned.serve().await;
    let answer = ask(quick(), connections(), post(uri)).await.unwrap();
    let row = format!("{status} {headers:?} {code}");
    if expected == Retry {
        assert_eq!(canned.count(), 2, "{row}");
        assert_eq!(canned.asked()[0].key(), canned.asked()[1].key(), "{row}");
        return answer.assert_done("done", 2);
    }
    assert_eq!(canned.count(), 1, "{row}");
    assert_eq!((answer.status.as_u16(), &*answer.body), (status, body.as_bytes()), "{row}");
    assert_eq!((answer.disposition, answer.attempts), (Some(expected), Some(1)), "{row}");
    for (name, value) in headers {
        assert_eq!(answer.headers[*name], *value, "{row}");
    }
}

#[tokio::test]
async fn answers_without_a_word_are_judged_by_their_status() {
    for status in [200, 201, 202, 204, 301, 303, 307, 402, 404, 406, 409, 410, 412, 418, 423, 424, 451] {
        assert_is(Final, status, &[], "").await;
    }
    for status in [425, 429, 500, 502, 503, 504] {
        assert_is(Retry, status, &[], "").await;
        assert_is(Retry, status, &[NOW], "").await;
    }
    for status in [400, 401, 403, 405, 407, 408, 411, 413, 414, 415, 422, 431, 501, 505, 507, 511, 599] {
        assert_is(Unknown, status, &[], "").await;
        // Only where a repeat makes sense is a time for it worth anything.
        assert_is(Unknown, status, &[NOW], "").await;
    }
}

#[tokio::test]
async fn the_word_about_retries_is_obeyed() {
    for status in [200, 201, 400, 404, 409, 422, 500, 501, 503] {
        assert_is(Retry, status, &[ALWAYS], "").await;
    }
    for status in [409, 425, 429, 500, 502, 503, 504] {
        assert_is(Unknown, status, &[NEVER, NOW], "").await;
    }
    assert_is(Final, 404, &[NEVER], "").await;
    assert_is(Retry, 503, &[("x-should-retry", "perhaps")], "").await;
}

#[tokio::test]
async fn replays_are_not_asked_for_again() {
    for replay in [REPLAY, STRIPES_REPLAY] {
        for status in [425, 429, 500, 502, 503, 504] {
            assert_is(Unknown, status, &[replay, NOW], "").await;
        }
        for status in [200, 400, 404, 409, 422] {
            assert_is(Final, status, &[replay, NOW], "").await;
        }
    }
}

#[tokio::test]
async fn conflicts_are_told_apart_by_their_problem_documents() {
    assert_is(Retry, 409, &[NOW], "").await;
    assert_is(Retry, 409, &[PROBLEM], "idempotency_key_in_flight").await;
    for code in ["idempotency_key_reused", "idempotency_outcome_unknown", "idempotency_attempt_failed"] {
        assert_is(Unknown, 409, &[PROBLEM], code).await;
        assert_is(Unknown, 409, &[PROBLEM, NEVER], code).await;
    }
    assert_is(Unknown, 409, &[PROBLEM, NEVER], "some_other_code").await;
    assert_is(Final, 409, &[PROBLEM, NEVER], "idempotency_result_not_retained").await;
    assert_is(Final, 409, &[PROBLEM], "out_of_stock").await;
    assert_is(Unknown, 422, &[PROBLEM, NEVER], "idempotency_key_reused").await;
}

#[tokio::test]
async fn a_conflict_whose_document_was_not_read_is_not_taken_for_the_applications_own() {
    for code in ["idempotency_key_in_flight", "idempotency_key_reused", "out_of_stock"] {
        let canned = Canned::ever(Turn::answer(409, &[PROBLEM], &format!(r#"{{"code":"{code}"}}"#)));
        let answer = ask(quick().max_response(4), canned.clone(), post("/")).await.unwrap();
        assert_eq!((answer.disposition, canned.count()), (Some(Unknown), 1), "{code}");
    }
    // What is no problem document is the application's, whatever its size.
    let canned = Canned::ever(Turn::answer(409, &[], "out of stock"));
    let answer = ask(quick().max_response(4), canned, post("/")).await.unwrap();
    assert_eq!(answer.disposition, Some(Final));
}
