#![allow(clippy::unwrap_used)]

use std::time::Duration;

use http::StatusCode;
use http_body_util::Full;
use tonic_types::StatusExt;

use super::super::Protocol;
use super::super::details::Details;
use super::*;
use crate::http::rejection::{OnMismatch, Recognized, samples};
use crate::record::outcome::StoredBody;

fn grpc() -> HeaderMap {
    HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"))])
}

fn over_grpc(rejection: Rejection) -> Response<ResponseBody<Full<Bytes>>> {
    let mut response = rejection.render().map(|bytes| ResponseBody::whole(bytes, None));
    rejection.finish(&mut response);
    super::over_grpc(response, &HeaderValue::from_static("application/grpc+proto"))
}

#[test]
fn the_details_of_every_rejection_are_read_by_the_messages_of_google_rpc() {
    for rejection in samples() {
        let response = over_grpc(rejection.clone());
        assert_eq!((response.status(), response.body().is_end_stream()), (StatusCode::OK, true));
        assert_eq!(response.headers()["content-type"], "application/grpc+proto");
        assert_eq!(response.extensions().get(), Some(&rejection));

        let status = tonic::Status::from_header_map(response.headers()).unwrap();
        assert_eq!(format!("{:?}", status.code()), format!("{:?}", rejection.grpc_code()));
        assert_eq!(status.message(), rejection.to_string());
        let details = status.check_error_details().unwrap();
        let info = details.error_info().unwrap();
        assert_eq!(
            (&*info.reason, &*info.domain),
            (&*rejection.code().to_uppercase(), "tower-idempotency")
        );
        assert_eq!(info.metadata["type"], rejection.type_uri());
        let original = rejection.original_status().map(|status| status.as_str().to_owned());
        assert_eq!(info.metadata.get("original_status"), original.as_ref());
        let delay = details.retry_info().map(|info| info.retry_delay.unwrap());
        assert_eq!(delay, rejection.retry_after(), "to the millisecond");
    }
}

#[test]
fn the_details_contain_the_code_and_the_message() {
    use tonic_types::pb;
    for rejection in samples() {
        let code = rejection.grpc_code();
        let bytes = details::status(&rejection, code, "the message");
        let status: pb::Status = prost::Message::decode(&*bytes).unwrap();
        assert_eq!((status.code, &*status.message), (i32::from(code.number()), "the message"));
        let again = prost::Message::encode_to_vec(&status);
        assert_eq!(again, bytes, "written as others write it");
    }
}

#[test]
fn every_rejection_is_recognized_by_its_details() {
    let protocol = Protocol::of(&grpc());
    let nothing = StoredBody::Whole { bytes: Bytes::new(), trailers: None };
    for rejection in samples() {
        let had_begun = rejection.spec().had_begun;
        let expected = Some(Recognized { had_begun });
        let response = over_grpc(rejection);
        assert_eq!(protocol.rejection(&response, &nothing), expected);
        // A service passes on the details that it has received.
        let details = HeaderMap::from_iter([(DETAILS, response.headers()[DETAILS].clone())]);
        let in_trailers =
            StoredBody::Whole { bytes: Bytes::new(), trailers: Some(Box::new(details)) };
        assert_eq!(protocol.rejection(&Response::new(()), &in_trailers), expected);
    }
}

#[test]
fn details_of_others_are_not_a_rejection_and_damaged_ones_say_nothing() {
    use tonic_types::ErrorDetails;
    let read = |details| {
        let status = tonic::Status::with_error_details(tonic::Code::Aborted, "message", details);
        details::read(Bytes::copy_from_slice(status.details()))
    };
    let of = |domain| ErrorDetails::with_error_info("IDEMPOTENCY_KEY_IN_FLIGHT", domain, []);
    assert_eq!(read(of("tower-idempotency")).reason.unwrap(), "IDEMPOTENCY_KEY_IN_FLIGHT");
    assert_eq!(read(of("bank.example")), Details::default());
    assert_eq!(read(ErrorDetails::new()), Details::default());
    let whole = details::status(&Rejection::ScopeMissing, Code::InvalidArgument, "message");
    for length in 0..whole.len() {
        let cut = details::read(Bytes::copy_from_slice(&whole[..length]));
        assert_eq!(cut, Details::default(), "{length}");
    }
}

#[test]
fn a_reason_that_only_a_later_version_knows_may_tell_of_an_operation_that_had_begun() {
    use tonic_types::ErrorDetails;
    let later = ErrorDetails::with_error_info("IDEMPOTENCY_NEW", "tower-idempotency", []);
    let status = tonic::Status::with_error_details(tonic::Code::Aborted, "message", later);
    let details = HeaderValue::from_str(&STANDARD_NO_PAD.encode(status.details())).unwrap();
    let mut response = Response::new(());
    response.headers_mut().insert(DETAILS, details);
    let nothing = StoredBody::Whole { bytes: Bytes::new(), trailers: None };
    let recognized = Protocol::of(&grpc()).rejection(&response, &nothing);
    assert_eq!(recognized, Some(Recognized { had_begun: true }));
}

#[test]
fn a_retry_is_asked_for_or_advised_against_where_clients_look() {
    for rejection in samples() {
        let response = over_grpc(rejection.clone());
        let header = |name: &str| {
            response.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
        };
        let expected = match (rejection.should_retry(), rejection.retry_after()) {
            (Some(false), _) => Some("-1"),
            (_, Some(_)) => Some("1250"),
            (_, None) => None,
        };
        assert_eq!(header("grpc-retry-pushback-ms").as_deref(), expected, "{rejection:?}");
        assert_eq!(header("retry-after").as_deref(), (expected == Some("1250")).then_some("2"));
        let should_retry = rejection.should_retry().map(|flag| flag.to_string());
        assert_eq!(header("x-should-retry"), should_retry);
    }
}

#[test]
fn times_beyond_all_bounds_are_cut() {
    for (retry_after, pushback, seconds) in
        [(Duration::MAX, "2147483647", 365 * 24 * 3600), (Duration::ZERO, "0", 0)]
    {
        let response = over_grpc(Rejection::InFlight { retry_after });
        assert_eq!(response.headers()["grpc-retry-pushback-ms"], pushback);
        let status = tonic::Status::from_header_map(response.headers()).unwrap();
        let delay = status.get_details_retry_info().unwrap().retry_delay.unwrap();
        assert_eq!(delay.as_secs(), seconds);
    }
}

#[test]
fn what_described_the_body_goes_with_it_and_other_headers_stay() {
    let rejection = Rejection::KeyReused { status: OnMismatch::Conflict };
    let mut response =
        rejection.render().map(|bytes| ResponseBody::<Full<Bytes>>::whole(bytes, None));
    for (name, value) in
        [("content-length", "7"), ("content-language", "de"), ("x-team", "payments")]
    {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    rejection.finish(&mut response);
    let response = super::over_grpc(response, &HeaderValue::from_static("application/grpc"));
    assert!(!response.headers().contains_key("content-length"));
    assert!(!response.headers().contains_key("content-language"));
    assert_eq!(response.headers()["x-team"], "payments");
}

#[test]
fn messages_are_percent_encoded() {
    assert_eq!(percent_encoded("100 % \"ok\" ~"), "100 %25 \"ok\" ~");
    assert_eq!(percent_encoded("a\r\nb\u{7f}\u{e9}"), "a%0D%0Ab%7F%C3%A9");
}
