//! Stored responses are found whole: every kind of response, and bodies of every size.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::record::outcome::{NotRetained, Outcome, StoredBody};
use crate::store::conformance::contender::Contender;
use crate::store::conformance::failure::Checked;
use crate::store::conformance::given::{response, response_with};
use crate::store::conformance::told::Write;
use crate::store::conformance::trial::Trial;
use crate::store::{PreviousAttempt, Store};

/// How many units a success stays here: as short as can be, because only its retention ends it.
const SHORT: f64 = 3.0;

/// Every kind of response that was completed is found as it was given.
pub(crate) async fn a_success_is_found_byte_for_byte<S: Store>(trial: &Trial<'_, S>) -> Checked {
    for outcome in responses_of_every_kind() {
        let contender = Contender::new(trial);
        let lease = contender.acquires_first().await?;
        contender.applies_for(SHORT, &lease, Write::Complete(&outcome)).await?;
        contender.finds_success(&lease, &outcome).await?;
        // A second look finds no less, and neither does a request that reruns attempts.
        contender.rerunning_failed().rerunning_abandoned().finds_success(&lease, &outcome).await?;
    }
    Ok(())
}

/// Every kind of response that an attempt failed with is found as it was given, and so is that
/// there was none.
pub(crate) async fn a_failure_is_found_byte_for_byte<S: Store>(trial: &Trial<'_, S>) -> Checked {
    let none = std::iter::once(None);
    for outcome in responses_of_every_kind().into_iter().map(Some).chain(none) {
        let contender = Contender::new(trial);
        let lease = contender.acquires_first().await?;
        contender.applies(&lease, Write::Fail(outcome.as_ref())).await?;
        contender.finds_failed(&lease, outcome.as_ref()).await?;
        contender.rerunning_abandoned().finds_failed(&lease, outcome.as_ref()).await?;
    }
    Ok(())
}

/// Bodies from none to 200 KiB of a success come back as they were.
pub(crate) async fn a_success_of_any_size_is_stored<S: Store>(trial: &Trial<'_, S>) -> Checked {
    for size in sizes().chain([(64 << 10) + 1, (200 << 10) + 1]) {
        let outcome = response_with(200, noise(size));
        let contender = Contender::new(trial);
        let lease = contender.acquires_first().await?;
        contender.applies_for(SHORT, &lease, Write::Complete(&outcome)).await?;
        contender.finds_success(&lease, &outcome).await?;
    }
    Ok(())
}

/// Bodies from none to 1 MiB of a failure come back as they were.
pub(crate) async fn a_failure_of_any_size_is_stored<S: Store>(trial: &Trial<'_, S>) -> Checked {
    // One record for all, because the next attempt takes it over.
    let contender = Contender::new(trial);
    let mut lease = contender.acquires_first().await?;
    let large = [64 << 10, 200 << 10].into_iter().flat_map(around);
    for (size, next) in sizes().chain(large).chain([1 << 20]).zip(2..) {
        let outcome = response_with(500, noise(size));
        contender.applies(&lease, Write::Fail(Some(&outcome))).await?;
        contender.finds_failed(&lease, Some(&outcome)).await?;
        let previous = PreviousAttempt::Failed { status: Some(outcome.status) };
        lease = contender.rerunning_failed().takes_over(next, previous).await?;
    }
    Ok(())
}

/// None, one, and the sizes at which stores and formats change how they store a body.
fn sizes() -> impl Iterator<Item = usize> {
    [0, 1].into_iter().chain([128, 1 << 10, 4 << 10, 16 << 10].into_iter().flat_map(around))
}

fn around(size: usize) -> [usize; 3] {
    [size - 1, size, size + 1]
}

fn responses_of_every_kind() -> Vec<Outcome> {
    let whole = |status, body: &'static [u8]| response_with(status, Bytes::from_static(body));
    let trailers = headers(&[("x-checksum", b"1"), ("x-checksum", b"2"), ("expires", b"0")]);
    let bare = |status| Outcome { status, ..response(200, "") };
    let unstored = |why| Outcome {
        headers: headers(&[("location", b"/payments/1")]),
        request_id: Some(HeaderValue::from_static("request-1")),
        body: StoredBody::NotRetained(why),
        ..response(201, "")
    };
    vec![
        whole(201, b"{\"id\":1}"),
        // Empty is not missing.
        bare(StatusCode::NO_CONTENT),
        bare(StatusCode::from_u16(999).expect("three digits are a status")),
        // Not text: a zero, a line break, and bytes that are not UTF-8.
        whole(200, b"\0\r\n\xff\xfe\x80\0"),
        Outcome { headers: headers_of_every_kind(), ..whole(303, b"see there") },
        Outcome { request_id: Some(HeaderValue::from_static("request-1")), ..whole(404, b"none") },
        response_that_is_sensitive(),
        // The longest id that the layer stores: visible ASCII, and at most so many bytes.
        Outcome { request_id: Some(value(&[b'~'; 128])), ..bare(StatusCode::OK) },
        Outcome {
            body: StoredBody::Whole { bytes: noise(5000), trailers: Some(Box::new(trailers)) },
            ..bare(StatusCode::OK)
        },
        unstored(NotRetained::TooLarge),
        unstored(NotRetained::Streamed),
        unstored(NotRetained::Failure),
        unstored(NotRetained::Withheld),
        unstored(NotRetained::Rejected),
        unstored(NotRetained::Stalled),
        unstored(NotRetained::Settled),
        Outcome { body: StoredBody::Omitted, ..unstored(NotRetained::Failure) },
        Outcome {
            body: StoredBody::Packed(Bytes::from_static(b"E\0\xff")),
            ..bare(StatusCode::CREATED)
        },
        Outcome { body: StoredBody::Packed(noise(5000)), ..bare(StatusCode::CREATED) },
        Outcome {
            body: StoredBody::PackedNotRetained(Bytes::from_static(b"E\0\xff")),
            ..bare(StatusCode::CREATED)
        },
    ]
}

/// Every value of it has the flag that keeps it out of logs.
fn response_that_is_sensitive() -> Outcome {
    let mut secret = value(b"secret");
    secret.set_sensitive(true);
    let headers = || HeaderMap::from_iter([(header::SET_COOKIE, secret.clone())]);
    let body = StoredBody::Whole { bytes: Bytes::new(), trailers: Some(Box::new(headers())) };
    let (headers, request_id) = (headers(), Some(secret));
    Outcome { headers, request_id, body, ..response(200, "") }
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
