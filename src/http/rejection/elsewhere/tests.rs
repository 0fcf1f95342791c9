#![allow(clippy::unwrap_used)]

use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::*;
use crate::http::rejection::samples;

fn of_type(content_type: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))])
}

#[test]
fn every_rejection_is_recognized_in_its_document_and_in_its_extensions() {
    for rejection in samples() {
        let mut response = rejection.render();
        assert!(response.body().len() < 1 << 10);
        let by_document =
            Recognized::in_problem(response.status(), response.headers(), response.body());
        rejection.clone().finish(&mut response);
        let by_extensions = Recognized::in_extensions(&response.into_parts().0, false);
        let had_begun = rejection.spec().had_begun;
        assert_eq!(
            (by_document, by_extensions),
            (Some(Recognized { had_begun }), by_document),
            "{rejection}"
        );
    }
}

#[test]
fn a_handler_that_gives_a_status_of_its_own_has_mapped_a_rejection_to_something_else() {
    let mut response = http::Response::new(());
    response.extensions_mut().insert(Rejection::OutcomeUnknown);
    *response.status_mut() = StatusCode::CREATED;
    let (head, ()) = response.into_parts();
    assert_eq!(Recognized::in_extensions(&head, false), None);
    assert!(
        Recognized::in_extensions(&head, true).is_some(),
        "the status of a call over gRPC is 200"
    );
}

#[test]
fn what_is_not_a_document_of_this_crate_is_not_recognized() {
    let ours = br#"{"code":"idempotency_key_in_flight"}"#.as_slice();
    let problem = of_type("Application/Problem+JSON; charset=utf-8");
    let conflict = StatusCode::CONFLICT;
    assert!(Recognized::in_problem(conflict, &problem, ours).is_some());
    for (status, headers, body) in [
        (StatusCode::OK, &problem, ours),
        (StatusCode::SEE_OTHER, &problem, ours),
        (conflict, &of_type("application/json"), ours),
        (conflict, &HeaderMap::new(), ours),
        // A gateway has made another response of it.
        (StatusCode::BAD_GATEWAY, &problem, ours),
        (StatusCode::INTERNAL_SERVER_ERROR, &problem, br#"{"code":"request_too_large"}"#),
        (conflict, &problem, br#"{"code":"insufficient_funds"}"#),
        (conflict, &problem, br#"{"code":7}"#),
        (conflict, &problem, br#"["idempotency_key_in_flight"]"#),
        (conflict, &problem, b"idempotency_key_in_flight"),
        (conflict, &problem, b""),
    ] {
        assert_eq!(Recognized::in_problem(status, headers, body), None, "{}", body.escape_ascii());
    }
    let padded = format!(
        r#"{{"code":"idempotency_key_in_flight","pad":"{}"}}"#,
        "x".repeat(LONGEST_PROBLEM)
    );
    assert_eq!(Recognized::in_problem(conflict, &problem, padded.as_bytes()), None);
}
