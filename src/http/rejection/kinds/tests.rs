#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::super::spec::{Advice, Told};
use super::*;
use crate::record::key::IdempotencyKey;

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/rejections.json");

const ABOUT: [&str; 9] = [
    "Every rejection of the layer. Written from the table in `src/http/rejection`: change it there, and then run",
    "`UPDATE_VECTORS=1 cargo test --all-features --lib rejection`.",
    "`statuses`: the default, and then those that a setting chooses from. `grpc`: the code over gRPC.",
    "`retry_after`: `Retry-After` is sent. `should_retry`: what `X-Should-Retry` says, or null.",
    "`had_begun`: the operation had begun, and may have had an effect.",
    "`disposition`: what a client concludes, whatever happened under the key before: final, retry or unknown.",
    "It holds for every profile of a client if the code begins with `idempotency_`, else for the default.",
    "`when` and `then`: what happened, and what the client does, for people.",
    "`responses`: examples, as the layer renders them, one for each status.",
];

/// The sample with each of its statuses.
fn variations(sample: Rejection) -> Vec<Rejection> {
    match sample {
        Rejection::KeyReused { .. } => {
            let statuses =
                [OnMismatch::Conflict, OnMismatch::UnprocessableContent, OnMismatch::BadRequest];
            statuses.map(|status| Rejection::KeyReused { status }).into()
        }
        sample => vec![sample],
    }
}

/// As a client gets it by default.
fn response(rejection: Rejection) -> Response<bytes::Bytes> {
    let mut response = rejection.render();
    rejection.finish(&mut response);
    response
}

fn example(rejection: Rejection) -> Value {
    let response = response(rejection);
    let headers = response.headers().iter();
    let headers: serde_json::Map<_, _> =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().into())).collect();
    let body: Value = serde_json::from_slice(response.body()).unwrap();
    json!({ "status": response.status().as_u16(), "headers": headers, "body": body })
}

fn vectors() -> String {
    let rows = ALL.iter().zip(samples()).map(|(spec, sample)| {
        let Told { numbers, grpc, client, when, then } = spec.told;
        json!({
            "code": spec.code,
            "variant": spec.variant,
            "title": spec.title,
            "statuses": numbers,
            "grpc": grpc,
            "retry_after": spec.advice == Advice::RetryAfter,
            "should_retry": sample.should_retry(),
            "had_begun": spec.had_begun,
            "disposition": client,
            "when": when,
            "then": then,
            "responses": variations(sample).into_iter().map(example).collect::<Vec<_>>(),
        })
    });
    let document = json!({ "about": ABOUT, "rows": rows.collect::<Vec<_>>() });
    serde_json::to_string_pretty(&document).unwrap() + "\n"
}

#[test]
fn the_vectors_say_what_the_table_says() {
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(VECTORS, vectors()).unwrap();
    }
    let written = std::fs::read_to_string(VECTORS).unwrap_or_default().replace("\r\n", "\n");
    assert!(
        written == vectors(),
        "tests/vectors/rejections.json is not what src/http/rejection/kinds.rs says: run \
         `UPDATE_VECTORS=1 cargo test --all-features --lib rejection`, and look at the difference"
    );
}

#[test]
fn each_row_agrees_with_its_sample() {
    for (spec, sample) in ALL.iter().zip(samples()) {
        let debug = format!("{sample:?}");
        assert_eq!(sample.spec().variant, spec.variant, "the sample is of another kind");
        assert!(debug.starts_with(spec.variant), "{debug}");
        let says_when = spec.advice == Advice::RetryAfter;
        assert_eq!(
            (sample.retry_after().is_some(), debug.contains("retry_after")),
            (says_when, says_when),
            "`advice` of {debug}, and its arm in `Rejection::retry_after`"
        );
        let has_original = debug.contains("original_status");
        assert_eq!(
            sample.original_status().is_some(),
            has_original,
            "the arm of {debug} in `Rejection::original_status`"
        );
        let statuses: Vec<_> = variations(sample).iter().map(Rejection::status).collect();
        assert_eq!(statuses, spec.statuses, "{debug}");
        let numbers: Vec<_> = statuses.iter().map(StatusCode::as_u16).collect();
        assert_eq!(numbers, spec.told.numbers, "the number beside the name of a status of {debug}");
    }
}

#[test]
fn what_is_said_to_people_is_whole() {
    for (spec, sample) in ALL.iter().zip(samples()) {
        let detail = sample.to_string();
        let value = detail.len() + 2 - spec.detail.len();
        assert!(
            if spec.detail.contains("{}") { value > 0 } else { detail == spec.detail },
            "the arm of {sample:?} in `Rejection::write_value`"
        );
        for sentence in [&*detail, spec.told.when, spec.told.then] {
            let is_sentence =
                sentence.ends_with('.') && !sentence.contains("  ") && !sentence.contains('|');
            assert!(is_sentence, "{sentence}");
        }
        assert!(!spec.title.is_empty() && !spec.title.ends_with('.'), "{}", spec.title);
    }
    let invalid = Rejection::KeyInvalid(KeyError::Empty).to_string();
    assert!(invalid.contains(&format!("1 to {} bytes", IdempotencyKey::MAX_LEN)), "{invalid}");
    let missing = |headers: &[&'static str], member: Option<&'static str>| {
        let headers = headers.iter().copied().map(HeaderName::from_static).collect();
        let member = member.map(JsonPointer::from_static);
        Rejection::KeyMissing { headers, member }.to_string()
    };
    let places = [
        (missing(&["a"], None), "in the header `a`. Send"),
        (missing(&["a", "b"], None), "in the header `a` or `b`. Send"),
        (
            missing(&["a"], Some("/m")),
            "in the header `a`, or in the member `/m` of a JSON body. Send",
        ),
        (missing(&[], Some("/m")), "in the member `/m` of a JSON body. Send"),
    ];
    for (detail, place) in places {
        assert!(detail.contains(&format!("requires an idempotency key {place}")), "{detail}");
    }
    let too_large = Rejection::RequestTooLarge { limit: None }.to_string();
    assert_eq!(too_large, "The request body is larger than the limit. Nothing was done.");
}

#[test]
fn no_two_kinds_share_a_code_or_a_title() {
    let codes: BTreeSet<_> = ALL.iter().map(|spec| spec.code).collect();
    let titles: BTreeSet<_> = ALL.iter().map(|spec| spec.title).collect();
    assert_eq!((codes.len(), titles.len()), (ALL.len(), ALL.len()));
    for code in codes {
        assert!(code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{code}");
    }
}

/// What a client that does not know the code makes of the response must be right too.
#[test]
fn each_row_is_safe_for_clients_that_do_not_know_its_code() {
    for spec in ALL {
        let (code, client) = (spec.code, spec.told.client);
        if spec.statuses.contains(&StatusCode::CONFLICT) {
            assert!(
                matches!(spec.advice, Advice::RetryAfter | Advice::NoRetry),
                "{code}: without `RetryAfter` or `NoRetry`, a 409 is taken for a result"
            );
        }
        assert_eq!(
            client == "retry",
            matches!(spec.advice, Advice::RetryAfter | Advice::ShouldRetry)
                || spec.statuses[0] == 500,
            "{code}: `advice` and `client` contradict each other"
        );
        assert!(
            client != "final" || spec.variant == "ResultNotRetained",
            "{code}: a client gives up its key after a final response, so the operation must be over"
        );
        assert!(
            code.starts_with("idempotency_") || !spec.had_begun && client != "final",
            "{code}: a client takes only codes that begin with `idempotency_` for rejections of this crate"
        );
    }
}

#[cfg(feature = "grpc")]
#[test]
fn each_grpc_code_has_its_name() {
    for sample in samples() {
        let name = format!("{:?}", sample.grpc_code()).to_uppercase();
        assert_eq!(name, sample.spec().told.grpc.replace('_', ""));
    }
}
