#![allow(clippy::unwrap_used)]

use http::Request;
use http::header::CONTENT_TYPE;
use proptest::prelude::*;

use super::{Content, LONGEST_HEAD, MOST_VALUES, PART, content};
use crate::record::fingerprint::{CanonicalBody, Input, JsonPointer};

/// The header lines, followed by the bytes.
type Part = (Vec<String>, Vec<u8>);

fn part(name: &str, bytes: &[u8]) -> Part {
    (vec![format!("Content-Disposition: form-data; name=\"{name}\"")], bytes.to_vec())
}

fn file(name: &str, file_name: &str, kind: &str, bytes: &[u8]) -> Part {
    let disposition =
        format!("Content-Disposition: form-data; name=\"{name}\"; filename=\"{file_name}\"");
    (vec![disposition, format!("Content-Type: {kind}")], bytes.to_vec())
}

fn body(parts: &[Part], boundary: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for (lines, bytes) in parts {
        body.extend(format!("--{boundary}\r\n{}\r\n\r\n", lines.join("\r\n")).into_bytes());
        body.extend(bytes);
        body.extend(b"\r\n");
    }
    body.extend(format!("--{boundary}--\r\n").into_bytes());
    body
}

fn read(content_type: &str, body: &[u8], rule: &CanonicalBody) -> Option<Content> {
    let request = Request::post("/").header(CONTENT_TYPE, content_type).body(()).unwrap();
    content(&Input::new(&request.into_parts().0, body), rule)
}

fn said(parts: &[Part], rule: &CanonicalBody) -> Content {
    read("multipart/form-data; boundary=XX", &body(parts, "XX"), rule).unwrap()
}

#[test]
fn the_boundary_does_not_count_and_bytes_around_the_parts_count_raw() {
    let parts = [part("to", b"acct_2"), file("scan", "a.png", "image/png", b"\0\r\n\r\n--X\xff")];
    let rule = CanonicalBody::multipart();
    let one = said(&parts, &rule);
    let other = body(&parts, "----WebKitFormBoundary7MA4");
    let content_type =
        "Multipart/Form-Data; charset=utf-8; boundary=\"----WebKitFormBoundary7MA4\"";
    assert_eq!(read(content_type, &other, &rule), Some(one.clone()));
    let blank = [&other[..], b"\r\n"].concat();
    assert_eq!(read(content_type, &blank, &rule), Some(one));
    // Another reader finds parts there.
    let delimiter = "------WebKitFormBoundary7MA4";
    for around in [
        [b"preamble\r\n", &other[..]].concat(),
        [&other[..], b"epilogue"].concat(),
        [format!("xx{delimiter}--\r\n").as_bytes(), &other[..]].concat(),
        [format!("{delimiter}--x\r\n").as_bytes(), &other[..]].concat(),
    ] {
        assert_eq!(read(content_type, &around, &rule), None);
    }
    let twice = format!("{content_type}; boundary*=XX");
    assert_eq!(read(&twice, &other, &rule), None);
}

#[test]
fn everything_of_a_part_and_the_order_of_parts_counts() {
    let rule = CanonicalBody::multipart();
    let one = [part("to", b"acct_2"), file("scan", "a.png", "image/png", b"bytes")];
    for other in [
        vec![one[1].clone(), one[0].clone()],
        vec![one[0].clone()],
        vec![one[0].clone(), one[1].clone(), one[1].clone()],
        vec![part("To", b"acct_2"), one[1].clone()],
        vec![part("to", b"acct_3"), one[1].clone()],
        vec![one[0].clone(), file("scan", "b.png", "image/png", b"bytes")],
        vec![one[0].clone(), file("scan", "a.png", "image/gif", b"bytes")],
        vec![one[0].clone(), file("scan", "a.png", "image/png", b"bytes\r\n")],
        vec![one[0].clone(), part("scan", b"bytes")],
        vec![],
    ] {
        assert_ne!(said(&one, &rule), said(&other, &rule), "{other:?}");
    }
    let spelled =
        (vec!["content-disposition:form-data; name=\"to\"".to_owned()], b"acct_2".to_vec());
    assert_eq!(said(&[spelled], &rule), said(&one[..1], &rule));
}

#[test]
fn parts_are_ignored_and_chosen_by_their_names() {
    let [to, nonce, scan] =
        [part("to", b"acct_2"), part("nonce", b"1"), file("scan", "a.png", "image/png", b"bytes")];
    let pointer = JsonPointer::from_static;
    let ignoring = CanonicalBody::multipart().ignore(pointer("/nonce"));
    assert_eq!(
        said(&[to.clone(), nonce.clone(), scan.clone(), part("nonce", b"2")], &ignoring),
        said(&[to.clone(), scan.clone()], &ignoring)
    );
    let only = CanonicalBody::multipart().only([pointer("/scan"), pointer("/to")]);
    let one = said(&[to.clone(), nonce, scan.clone()], &only);
    assert_ne!(one, said(&[scan.clone(), to.clone()], &only), "their order counts");
    assert_ne!(one, said(&[to], &only));
    assert_ne!(one, said(&[scan, part("to", b"acct_3")], &only));
}

#[test]
fn what_is_not_whole_counts_by_its_bytes() {
    let rule = CanonicalBody::multipart();
    let whole = body(&[part("to", b"acct_2")], "XX");
    for end in 0..whole.len() - 4 {
        assert_eq!(read("multipart/form-data; boundary=XX", &whole[..end], &rule), None, "{end}");
    }
    for content_type in [
        "multipart/form-data",
        "multipart/form-data; boundary=YY",
        "multipart/mixed; boundary=XX",
        "multipart/form-data; boundary=XX; Boundary=YY",
        "multipart/form-data; boundary=",
    ] {
        assert_eq!(read(content_type, &whole, &rule), None, "{content_type}");
    }
    let unnamed = b"--XX\r\nno header\r\n\r\n--XX--\r\n";
    assert_eq!(read("multipart/form-data; boundary=XX", unnamed, &rule), None);
}

#[test]
fn more_parts_or_headers_than_the_budget_count_by_their_bytes() {
    let rule = CanonicalBody::multipart();
    let is_read = |parts: &[Part]| {
        read("multipart/form-data; boundary=XX", &body(parts, "XX"), &rule).is_some()
    };
    let most = MOST_VALUES / (PART + 1);
    assert!(is_read(&vec![part("a", b""); most]));
    assert!(!is_read(&vec![part("a", b""); most + 1]));
    let headers = (0..30).map(|index| format!("x-{index}: 1")).collect::<Vec<_>>();
    let most = MOST_VALUES / (PART + 30);
    assert!(is_read(&vec![(headers.clone(), Vec::new()); most]));
    assert!(!is_read(&vec![(headers, Vec::new()); most + 1]));
    let long = |bytes: usize| [(vec![format!("x: {}", "a".repeat(bytes))], Vec::new())];
    assert!(is_read(&long(LONGEST_HEAD - 10)));
    assert!(!is_read(&long(LONGEST_HEAD)));
    assert!(
        is_read(&[part("a", &vec![b'a'; 4 * LONGEST_HEAD])]),
        "the bytes of a part are not its head"
    );
}

fn parts() -> impl Strategy<Value = Vec<Part>> {
    let bytes = prop::sample::select(vec![&b""[..], b"a", b"--", b"\r\n", b"X", b"\r\n--X", b"\0"]);
    let part = ("[ab]{0,2}", prop::option::of("[ab]{1,2}"), prop::collection::vec(bytes, 0..3))
        .prop_map(|(name, file_name, bytes)| match file_name {
            None => part(&name, &bytes.concat()),
            Some(file_name) => file(&name, &file_name, "text/plain", &bytes.concat()),
        });
    prop::collection::vec(part, 0..4)
}

proptest! {
    #[test]
    fn two_bodies_are_the_same_only_if_their_parts_are(one in parts(), other in parts(), boundary in "[Y-Z]{3,9}") {
        let rule = CanonicalBody::multipart();
        let read = |parts: &[Part], boundary: &str| {
            read(&format!("multipart/form-data; boundary={boundary}"), &body(parts, boundary), &rule).unwrap()
        };
        prop_assert_eq!(read(&one, "QQQ") == read(&other, &boundary), one == other);
        prop_assert_eq!(read(&one, "QQQ"), read(&one, &boundary));
    }
}
