#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::collection::vec;
use proptest::prelude::*;

use super::Fingerprint;

type Line = (&'static str, &'static str);

/// The parts of a request that its fingerprint covers.
#[derive(Clone, Copy)]
struct PendingRef<'a> {
    method: &'a Method,
    path_and_query: &'a str,
    headers: &'a [Line],
    chosen: &'a [&'static str],
    body: &'a [u8],
}

const PLAIN: PendingRef<'static> = PendingRef {
    method: &Method::POST,
    path_and_query: "/payments?dry=1",
    headers: &[("content-type", "application/json")],
    chosen: &[],
    body: b"{\"amount\":1200}",
};

impl PendingRef<'_> {
    fn fingerprint(&self) -> Fingerprint {
        let lines = self
            .headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let headers: HeaderMap = lines.collect();
        let chosen: Vec<_> = self.chosen.iter().copied().map(HeaderName::from_static).collect();
        Fingerprint::of_request(self.method, self.path_and_query, &headers, &chosen, self.body)
    }
}

/// Asserts that no two of the requests have the same fingerprint.
fn assert_distinct(requests: &[PendingRef<'_>]) {
    let digests: HashSet<_> =
        requests.iter().map(|request| request.fingerprint().to_bytes()).collect();
    assert_eq!(digests.len(), requests.len());
}

#[test]
fn the_same_request_has_the_same_fingerprint() {
    assert_eq!(PLAIN.fingerprint(), PLAIN.fingerprint());
}

#[test]
fn everything_that_makes_the_operation_counts() {
    assert_distinct(&[
        PLAIN,
        PendingRef { method: &Method::PATCH, ..PLAIN },
        PendingRef { path_and_query: "/payments", ..PLAIN },
        PendingRef { path_and_query: "/payments?", ..PLAIN },
        PendingRef { path_and_query: "/payments?dry=2", ..PLAIN },
        PendingRef { path_and_query: "/Payments?dry=1", ..PLAIN },
        PendingRef { path_and_query: "/v2/payments?dry=1", ..PLAIN },
        PendingRef { headers: &[], ..PLAIN },
        PendingRef { headers: &[("content-type", "")], ..PLAIN },
        PendingRef { headers: &[("content-type", "text/plain")], ..PLAIN },
        PendingRef {
            headers: &[("content-type", "application/json"), ("content-encoding", "gzip")],
            ..PLAIN
        },
        PendingRef {
            headers: &[("content-type", "application/json"), ("content-encoding", "br")],
            ..PLAIN
        },
        PendingRef { body: b"", ..PLAIN },
        PendingRef { body: b"{\"amount\":1201}", ..PLAIN },
        PendingRef { body: b"{\"amount\":1200} ", ..PLAIN },
        PendingRef { body: b"{\"amount\":1200}\0", ..PLAIN },
    ]);
}

#[test]
fn only_chosen_headers_count() {
    let traced = PendingRef {
        headers: &[("content-type", "application/json"), ("traceparent", "00-1")],
        ..PLAIN
    };
    assert_eq!(traced.fingerprint(), PLAIN.fingerprint());
    let chosen = PendingRef { chosen: &["traceparent"], ..traced };
    assert_distinct(&[PLAIN, PendingRef { chosen: &["traceparent"], ..PLAIN }, chosen]);
}

#[test]
fn no_header_runs_into_another() {
    const CHOSEN: &[&str] = &["x-a", "x-ab"];
    let with = |headers| PendingRef { headers, chosen: CHOSEN, ..PLAIN };
    assert_distinct(&[
        with(&[]),
        with(&[("x-a", "bc")]),
        with(&[("x-ab", "c")]),
        with(&[("x-a", "")]),
        with(&[("x-a", ""), ("x-a", "")]),
        with(&[("x-a", "b"), ("x-a", "c")]),
        with(&[("x-a", "c"), ("x-a", "b")]),
        with(&[("x-a", "b,c")]),
        with(&[("x-a", "b"), ("x-ab", "c")]),
        with(&[("x-a", "b"), ("x-a", "x-ab"), ("x-ab", "c")]),
    ]);
    assert_distinct(&[
        PendingRef { chosen: &["x-a"], ..PLAIN },
        PendingRef { chosen: &["x-ab"], ..PLAIN },
        PendingRef { chosen: CHOSEN, ..PLAIN },
    ]);
}

#[test]
fn the_last_byte_of_a_large_body_counts() {
    let mut body = vec![b'x'; 3 << 20];
    let one = PendingRef { body: &body, ..PLAIN }.fingerprint();
    body[(3 << 20) - 1] = b'y';
    assert_ne!(PendingRef { body: &body, ..PLAIN }.fingerprint(), one);
}

#[test]
fn a_fingerprint_survives_its_bytes_and_differs_by_version() {
    let mut bytes = PLAIN.fingerprint().to_bytes();
    assert_eq!(Fingerprint::from_bytes(&bytes), PLAIN.fingerprint());
    bytes[0] += 1;
    assert_ne!(Fingerprint::from_bytes(&bytes), PLAIN.fingerprint());
}

/// Records contain fingerprints. If this test fails, an upgrade rejects every honest retry. Such a
/// change needs a new version of the rule.
#[test]
fn the_rule_is_as_it_was_in_version_1() {
    let hex = |seen: PendingRef<'_>| {
        let [version, digest @ ..] = seen.fingerprint().to_bytes();
        format!("{version} {}", blake3::Hash::from_bytes(digest).to_hex())
    };
    let chosen = PendingRef {
        headers: &[("content-type", "text/plain"), ("x-a", "1"), ("x-a", "2")],
        chosen: &["x-a", "x-b"],
        ..PLAIN
    };
    assert_eq!(
        [hex(PLAIN), hex(chosen)],
        [
            "1 9148068e3b20d09c7bf609b847d92a562f43c3f27f898e74b39acbfe0307e5b2",
            "1 f3c5c21646c7c270959266025cc78aac5a53bfeb648cdd11b50ffe1be05b017e",
        ]
    );
}

/// A request of few different bytes in few different places.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Small {
    method: &'static str,
    path: String,
    content_type: Vec<String>,
    chosen: Vec<String>,
    body: Vec<u8>,
}

impl Small {
    fn fingerprint(&self) -> Fingerprint {
        let mut headers = HeaderMap::new();
        for (name, values) in [("content-type", &self.content_type), ("x-a", &self.chosen)] {
            for value in values {
                headers
                    .append(HeaderName::from_static(name), HeaderValue::try_from(value).unwrap());
            }
        }
        let method = Method::from_bytes(self.method.as_bytes()).unwrap();
        let chosen = [HeaderName::from_static("x-a")];
        Fingerprint::of_request(&method, &self.path, &headers, &chosen, &self.body)
    }
}

fn small() -> impl Strategy<Value = Small> {
    let method = prop::sample::select(vec!["PO", "POST", "POSTx-a"]);
    let lines = || vec("[a,]{0,2}|x-a", 0..3);
    let body = vec(prop::sample::select(vec![0_u8, 1, 2, b'a', b'/']), 0..4);
    (method, "/[a/]{0,2}", lines(), lines(), body).prop_map(
        |(method, path, content_type, chosen, body)| Small {
            method,
            path,
            content_type,
            chosen,
            body,
        },
    )
}

/// The request with a byte or a line moved to the next place, or with an added empty one.
fn moved(of: &Small) -> Vec<Small> {
    let mut all = vec![of.clone(); 6];
    if let Some(byte) = all[0].path.pop() {
        all[0].body.insert(0, u8::try_from(byte).unwrap());
    }
    if let Some(line) = all[1].content_type.pop() {
        all[1].chosen.insert(0, line);
    }
    if !all[2].chosen.is_empty() {
        let line = all[2].chosen.remove(0);
        all[2].content_type.push(line);
    }
    if let [.., _, _] = all[3].chosen[..] {
        let line = all[3].chosen.pop().unwrap();
        all[3].chosen.last_mut().unwrap().push_str(&line);
    }
    all[4].chosen.push(String::new());
    all[5].body.push(0);
    all.retain(|other| other != of);
    all
}

proptest! {
    #[test]
    fn two_requests_have_one_fingerprint_only_if_they_are_the_same(one in small(), other in small()) {
        prop_assert_eq!(one.fingerprint() == other.fingerprint(), one == other);
        for other in moved(&one) {
            prop_assert_ne!(one.fingerprint(), other.fingerprint(), "{:?} {:?}", one, other);
        }
    }

    #[test]
    fn two_lists_of_fields_have_one_fingerprint_only_if_they_are_the_same(
        one in vec("[a\\x00\\x01]{0,2}", 0..4),
        other in vec("[a\\x00\\x01]{0,2}", 0..4),
    ) {
        prop_assert_eq!(Fingerprint::of_fields(&one) == Fingerprint::of_fields(&other), one == other);
    }
}
