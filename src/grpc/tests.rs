#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};

use super::{Code, Protocol, class, class_of, content_type, is_grpc};
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
fn an_answer_is_grpc_if_the_request_and_the_answer_are() {
    let grpc = headers(&[("content-type", "application/grpc")]);
    let (json, status) = (headers(&[("content-type", "application/json")]), headers(&[("grpc-status", "0")]));
    let is_grpc = |request, answer| Protocol::of(request).of_answer(answer).is_read_to_its_end();
    assert!(is_grpc(&grpc, &grpc) && is_grpc(&grpc, &status));
    for (request, answer) in [(&grpc, &json), (&grpc, &HeaderMap::new()), (&json, &grpc), (&json, &status)] {
        assert!(!is_grpc(request, answer), "{request:?} {answer:?}");
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
    *answer.status_mut() = StatusCode::BAD_GATEWAY;
    assert_eq!(class_of(&answer, &too_large), Class::Failed);
}

#[test]
fn a_call_is_recorded_under_the_status_that_its_code_maps_to() {
    let protocol = Protocol::of(&headers(&[("content-type", "application/grpc")]));
    let recorded = |head: &[(&'static str, &str)], trailers: &[(&'static str, &str)]| {
        let mut answer = Response::new(());
        *answer.headers_mut() = headers(head);
        let body = KeptBody::Whole { bytes: Bytes::new(), trailers: Some(headers(trailers)) };
        protocol.judged(&answer, Some(&body), Class::Success).1.as_u16()
    };
    let mapped = [200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401];
    for (code, status) in mapped.into_iter().enumerate() {
        assert_eq!(recorded(&[], &[("grpc-status", &code.to_string())]), status);
        assert_eq!(recorded(&[("grpc-status", &code.to_string())], &[]), status);
    }
    assert_eq!(recorded(&[], &[]), 500, "no status is UNKNOWN");
    let (unread, broken) = (KeptBody::NotRetained(NotRetained::TooLarge), None);
    let judged = |body| protocol.judged(&Response::new(()), body, Class::Success);
    assert_eq!(judged(Some(&unread)), (Class::Success, StatusCode::OK));
    assert_eq!(judged(broken), (Class::Failed, StatusCode::INTERNAL_SERVER_ERROR));
}
