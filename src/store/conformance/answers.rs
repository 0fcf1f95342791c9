//! What was kept is found whole: every kind of answer, and bodies of every size.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::super::Store;
use super::contender::Contender;
use super::given::{answer, answer_with};
use super::told::Write;
use crate::record::outcome::{NotRetained, Outcome, StoredBody};

/// Every kind of answer that was completed is found as it was given.
pub async fn a_success_is_found_byte_for_byte<S: Store>(store: &S, unit: Duration) {
    for outcome in answers_of_every_kind() {
        let contender = Contender::new(store, unit);
        let lease = contender.acquires_first().await;
        contender.applies(&lease, Write::Complete(&outcome)).await;
        contender.finds_success(&lease, &outcome).await;
        // A second look finds no less, even by somebody who would take over a lesser record.
        contender.rerunning_failed().rerunning_abandoned().finds_success(&lease, &outcome).await;
    }
}

/// Every kind of answer that an attempt failed with is found as it was given, and so is that there was none.
pub async fn a_failure_is_found_byte_for_byte<S: Store>(store: &S, unit: Duration) {
    let none = std::iter::once(None);
    for outcome in answers_of_every_kind().into_iter().map(Some).chain(none) {
        let contender = Contender::new(store, unit);
        let lease = contender.acquires_first().await;
        contender.applies(&lease, Write::Fail(outcome.as_ref())).await;
        contender.finds_failed(&lease, outcome.as_ref()).await;
        contender.rerunning_abandoned().finds_failed(&lease, outcome.as_ref()).await;
    }
}

/// Bodies from none to 1 MiB come back as they were, and above all those at the sizes where stores and formats change
/// their ways.
pub async fn a_body_of_any_size_is_kept<S: Store>(store: &S, unit: Duration) {
    const AROUND: [usize; 6] = [128, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 200 << 10];
    let around = AROUND.into_iter().flat_map(|size| [size - 1, size, size + 1]);
    for size in [0, 1].into_iter().chain(around).chain([1 << 20]) {
        let outcome = answer_with(200, noise(size));
        let contender = Contender::new(store, unit);
        let lease = contender.acquires_first().await;
        contender.applies(&lease, Write::Complete(&outcome)).await;
        contender.finds_success(&lease, &outcome).await;

        let contender = Contender::new(store, unit);
        let lease = contender.acquires_first().await;
        contender.applies(&lease, Write::Fail(Some(&outcome))).await;
        contender.finds_failed(&lease, Some(&outcome)).await;
    }
}

fn answers_of_every_kind() -> Vec<Outcome> {
    let whole = |status, body: &'static [u8]| answer_with(status, Bytes::from_static(body));
    let trailers = headers(&[("x-checksum", b"1"), ("x-checksum", b"2"), ("expires", b"0")]);
    let bare = |status| Outcome { status, ..answer(200, "") };
    let unkept = |why| Outcome {
        headers: headers(&[("location", b"/payments/1")]),
        request_id: Some(HeaderValue::from_static("request-1")),
        body: StoredBody::NotRetained(why),
        ..answer(201, "")
    };
    vec![
        whole(201, b"{\"id\":1}"),
        // Empty, and not to be taken for missing.
        bare(StatusCode::NO_CONTENT),
        bare(StatusCode::from_u16(999).expect("three digits are a status")),
        // Not text: a zero, a line break, and bytes that are no UTF-8.
        whole(200, b"\0\r\n\xff\xfe\x80\0"),
        Outcome { headers: headers_of_every_kind(), ..whole(303, b"see there") },
        Outcome { request_id: Some(HeaderValue::from_static("request-1")), ..whole(404, b"none") },
        // The layer stores no other id: visible ASCII, and no more than this.
        Outcome { request_id: Some(value(&[b'~'; 128])), ..bare(StatusCode::OK) },
        Outcome {
            body: StoredBody::Whole { bytes: noise(5000), trailers: Some(trailers) },
            ..bare(StatusCode::OK)
        },
        unkept(NotRetained::TooLarge),
        unkept(NotRetained::Streamed),
        unkept(NotRetained::Failure),
        unkept(NotRetained::Withheld),
        unkept(NotRetained::Rejected),
        unkept(NotRetained::Stalled),
        Outcome { body: StoredBody::Omitted, ..unkept(NotRetained::Failure) },
        Outcome { body: StoredBody::Packed(Bytes::from_static(b"E\0\xff")), ..bare(StatusCode::CREATED) },
        Outcome { body: StoredBody::Packed(noise(5000)), ..bare(StatusCode::CREATED) },
    ]
}

fn headers_of_every_kind() -> HeaderMap {
    let mut headers = headers(&[
        ("content-type", b"application/json"),
        ("link", b"</1>; rel=next"),
        ("x-latin-1", b"caf\xe9"),
        ("link", b"</0>; rel=prev"),
        ("x-empty", b""),
        ("link", b"</1>; rel=next"),
        ("x-tab", b"a\tb"),
    ]);
    headers.insert(header::ETAG, value(&[b'e'; 300]));
    for number in 0..70 {
        let name = HeaderName::try_from(format!("x-number-{number}")).expect("the name is valid");
        headers.append(name, HeaderValue::from(number));
    }
    headers
}

fn headers(lines: &[(&'static str, &[u8])]) -> HeaderMap {
    lines.iter().map(|(name, bytes)| (HeaderName::from_static(name), value(bytes))).collect()
}

fn value(bytes: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(bytes).expect("the suite uses valid header values")
}

/// Bytes of all values, in no order that a cut, a shift or a swap would leave as it was.
fn noise(size: usize) -> Bytes {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(size).collect()
}
