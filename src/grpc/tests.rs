#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use http::{HeaderMap, Response};

use super::{Code, class, class_of, content_type, is_grpc};
use crate::config::Class;
use crate::outcome::{KeptBody, NotRetained};

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    lines.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

#[test]
fn grpc_is_told_by_its_content_type() {
    let essence = |value| content_type(&headers(&[("content-type", value)]));
    for (value, expected) in [
        ("application/grpc", "application/grpc"),
        ("application/grpc+proto", "application/grpc+proto"),
        ("application/grpc+json; charset=utf-8", "application/grpc+json"),
        ("application/grpc ;v=1", "application/grpc"),
        ("Application/GRPC", "Application/GRPC"),
    ] {
        assert_eq!(essence(value).unwrap(), expected);
    }
    for value in [
        "application/grpc-web",
        "application/grpc-web+proto",
        "application/grpcx",
        "application/grp",
        "application/json",
        "text/plain; application/grpc",
        ";application/grpc",
        "",
    ] {
        assert_eq!(essence(value), None, "{value}");
    }
    assert!(!is_grpc(&HeaderMap::new()));
}

#[test]
fn a_content_type_that_is_no_text_is_not_grpc() {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", http::HeaderValue::from_bytes(b"application/grpc+\xff").unwrap());
    assert!(!is_grpc(&headers));
}

#[test]
fn codes_are_read_by_their_numbers() {
    for number in 0..17 {
        let code = Code::parse(number.to_string().as_bytes()).unwrap();
        assert_eq!(u32::from(code.number()), number);
        let theirs = tonic::Code::from_i32(i32::try_from(number).unwrap());
        assert_eq!(format!("{code:?}"), format!("{theirs:?}"));
    }
    for value in ["", "17", "-1", "+1", " 1", "1 ", "0x1", "99999999999999999999999", "OK"] {
        assert_eq!(Code::parse(value.as_bytes()), None, "{value}");
    }
}

#[test]
fn every_code_has_its_class() {
    let class = |number: u8| class(&headers(&[("grpc-status", &number.to_string())]), None);
    let of = |wanted| (0..17).filter(|number| class(*number) == wanted).collect::<Vec<_>>();
    assert_eq!(of(Class::Success), [0, 5, 6]);
    assert_eq!(of(Class::Forget), [3, 7, 8, 9, 11, 12, 16]);
    assert_eq!(of(Class::Failed), [1, 2, 4, 10, 13, 14, 15]);
}

#[test]
fn the_status_stands_in_the_trailers_or_in_the_head_and_one_that_cannot_be_read_is_a_failure() {
    let (none, ok) = (HeaderMap::new(), headers(&[("grpc-status", "0")]));
    assert_eq!(class(&none, Some(&ok)), Class::Success);
    assert_eq!(class(&ok, None), Class::Success);
    assert_eq!(class(&headers(&[("grpc-status", "14")]), Some(&ok)), Class::Failed);
    assert_eq!(class(&none, None), Class::Failed);
    assert_eq!(class(&none, Some(&none)), Class::Failed);
    assert_eq!(class(&none, Some(&headers(&[("grpc-status", "200")]))), Class::Failed);
}

#[test]
fn an_answer_that_is_not_grpc_is_judged_as_clients_read_it() {
    let whole = || KeptBody::Whole { bytes: Bytes::from_static(b"busy"), trailers: None };
    let with_status = |status| class_of(&Response::builder().status(status).body(()).unwrap(), &whole());
    for forgotten in [401, 403, 404] {
        assert_eq!(with_status(forgotten), Class::Forget, "{forgotten}");
    }
    for failed in [200, 201, 302, 400, 409, 429, 500, 502, 503, 504] {
        assert_eq!(with_status(failed), Class::Failed, "{failed}");
    }
}

#[test]
fn an_answer_too_large_to_read_is_taken_for_ok_unless_its_head_says_otherwise() {
    let too_large = KeptBody::NotRetained(NotRetained::TooLarge);
    let mut answer = Response::new(());
    assert_eq!(class_of(&answer, &too_large), Class::Success);
    *answer.headers_mut() = headers(&[("grpc-status", "14")]);
    assert_eq!(class_of(&answer, &too_large), Class::Failed);
    *answer.headers_mut() = HeaderMap::new();
    *answer.status_mut() = http::StatusCode::BAD_GATEWAY;
    assert_eq!(class_of(&answer, &too_large), Class::Failed);
}
