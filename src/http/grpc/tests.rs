#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};

use super::metadata::Metadata;
use super::{Code, Protocol, content_type, is_grpc};
use crate::http::class::ResponseClass;
use crate::record::outcome::{NotRetained, StoredBody};

/// The class of a response to a gRPC request, by its head and its trailers.
fn class(head: &HeaderMap, trailers: Option<&HeaderMap>) -> ResponseClass {
    let mut response = Response::new(());
    *response.headers_mut() = head.clone();
    Metadata::of(&response, trailers).class()
}

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    lines.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

#[test]
fn grpc_is_recognized_by_its_content_type() {
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
fn a_content_type_that_is_not_text_is_not_grpc() {
    let mut headers = HeaderMap::new();
    headers
        .insert("content-type", http::HeaderValue::from_bytes(b"application/grpc+\xff").unwrap());
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
    let of = |expected| (0..17).filter(|number| class(*number) == expected).collect::<Vec<_>>();
    assert_eq!(of(ResponseClass::Success), [0, 5, 6]);
    assert_eq!(of(ResponseClass::Discard), [3, 7, 8, 9, 11, 12, 16]);
    assert_eq!(of(ResponseClass::Failed), [1, 2, 4, 10, 13, 14, 15]);
}

#[test]
fn a_code_means_what_its_status_over_http_means_but_for_three() {
    let differs = |number: &u8| {
        let code = Code::parse(number.to_string().as_bytes()).unwrap();
        ResponseClass::of_grpc(code) != ResponseClass::of(code.over_http())
    };
    let codes = [Code::Cancelled, Code::Aborted, Code::Unimplemented];
    assert_eq!((0..17).filter(differs).collect::<Vec<_>>(), codes.map(Code::number));
    // The code that gRPC uses for a precondition, and the status of HTTP.
    assert_eq!(
        ResponseClass::of_grpc(Code::FailedPrecondition),
        ResponseClass::of(StatusCode::PRECONDITION_FAILED)
    );
}

#[test]
fn a_call_that_was_aborted_is_discarded_if_it_says_when_to_retry() {
    use tonic_types::{ErrorDetails, StatusExt};
    let details = |details| tonic::Status::with_error_details(tonic::Code::Aborted, "", details);
    let bin = |status: tonic::Status| {
        let engine = base64::engine::general_purpose::STANDARD;
        base64::Engine::encode(&engine, status.details())
    };
    let with_retry =
        bin(details(ErrorDetails::with_retry_info(Some(std::time::Duration::from_secs(1)))));
    let without = bin(details(ErrorDetails::with_error_info("IDEMPOTENCY", "elsewhere", [])));
    let cases: [(&[(&'static str, &str)], ResponseClass); 11] = [
        (&[], ResponseClass::Failed),
        (&[("grpc-retry-pushback-ms", "0")], ResponseClass::Discard),
        (&[("grpc-retry-pushback-ms", "1250")], ResponseClass::Discard),
        (&[("grpc-retry-pushback-ms", "-1"), ("retry-after", "1")], ResponseClass::Failed),
        (&[("grpc-retry-pushback-ms", "soon"), ("retry-after", "1")], ResponseClass::Failed),
        (&[("retry-after", "1")], ResponseClass::Discard),
        (&[("x-should-retry", "true")], ResponseClass::Discard),
        (&[("x-should-retry", "false"), ("retry-after", "1")], ResponseClass::Failed),
        (&[("grpc-status-details-bin", &with_retry)], ResponseClass::Discard),
        (&[("grpc-status-details-bin", with_retry.trim_end_matches('='))], ResponseClass::Discard),
        (&[("grpc-status-details-bin", &without)], ResponseClass::Failed),
    ];
    for (lines, expected) in cases {
        let aborted = headers(&[&[("grpc-status", "10")], lines].concat());
        assert_eq!(class(&aborted, None), expected, "{lines:?}");
        assert_eq!(class(&HeaderMap::new(), Some(&aborted)), expected, "{lines:?}");
        let unavailable = headers(&[&[("grpc-status", "14")], lines].concat());
        assert_eq!(class(&unavailable, None), ResponseClass::Failed, "{lines:?}");
    }
}

#[test]
fn the_status_is_in_the_trailers_or_in_the_head_and_one_that_cannot_be_read_is_a_failure() {
    let (none, ok) = (HeaderMap::new(), headers(&[("grpc-status", "0")]));
    assert_eq!(class(&none, Some(&ok)), ResponseClass::Success);
    assert_eq!(class(&ok, None), ResponseClass::Success);
    assert_eq!(class(&headers(&[("grpc-status", "14")]), Some(&ok)), ResponseClass::Failed);
    assert_eq!(class(&none, None), ResponseClass::Failed);
    assert_eq!(class(&none, Some(&none)), ResponseClass::Failed);
    assert_eq!(class(&none, Some(&headers(&[("grpc-status", "200")]))), ResponseClass::Failed);
}

#[test]
fn a_response_is_grpc_if_the_request_and_the_response_are() {
    let grpc = headers(&[("content-type", "application/grpc")]);
    let (json, status) =
        (headers(&[("content-type", "application/json")]), headers(&[("grpc-status", "0")]));
    let is_grpc =
        |request, response| Protocol::of(request).of_response(response).is_read_to_its_end();
    assert!(is_grpc(&grpc, &grpc) && is_grpc(&grpc, &status));
    for (request, response) in
        [(&grpc, &json), (&grpc, &HeaderMap::new()), (&json, &grpc), (&json, &status)]
    {
        assert!(!is_grpc(request, response), "{request:?} {response:?}");
    }
}

#[test]
fn a_response_too_large_to_read_is_taken_for_ok_unless_its_head_says_otherwise() {
    let too_large = StoredBody::NotRetained(NotRetained::TooLarge);
    let protocol = Protocol::of(&headers(&[("content-type", "application/grpc")]));
    let class_of = |response: &Response<()>| {
        protocol.classify(response, Some(&too_large), ResponseClass::Success).0
    };
    let mut response = Response::new(());
    assert_eq!(class_of(&response), ResponseClass::Success);
    for status in ["14", "what?"] {
        *response.headers_mut() = headers(&[("grpc-status", status)]);
        assert_eq!(class_of(&response), ResponseClass::Failed);
    }
    *response.headers_mut() = HeaderMap::new();
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    assert_eq!(class_of(&response), ResponseClass::Failed);
}

#[test]
fn a_call_is_recorded_under_the_status_that_its_code_maps_to() {
    let protocol = Protocol::of(&headers(&[("content-type", "application/grpc")]));
    let recorded = |head: &[(&'static str, &str)], trailers: &[(&'static str, &str)]| {
        let mut response = Response::new(());
        *response.headers_mut() = headers(head);
        let body =
            StoredBody::Whole { bytes: Bytes::new(), trailers: Some(Box::new(headers(trailers))) };
        protocol.classify(&response, Some(&body), ResponseClass::Success).1.as_u16()
    };
    let mapped =
        [200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401];
    for (code, status) in mapped.into_iter().enumerate() {
        assert_eq!(recorded(&[], &[("grpc-status", &code.to_string())]), status);
        assert_eq!(recorded(&[("grpc-status", &code.to_string())], &[]), status);
    }
    assert_eq!(recorded(&[], &[]), 500, "no status is UNKNOWN");
    let (unread, broken) = (StoredBody::NotRetained(NotRetained::TooLarge), None);
    let judged = |body| protocol.classify(&Response::new(()), body, ResponseClass::Success);
    assert_eq!(judged(Some(&unread)), (ResponseClass::Success, StatusCode::OK));
    assert_eq!(judged(broken), (ResponseClass::Failed, StatusCode::INTERNAL_SERVER_ERROR));
}
