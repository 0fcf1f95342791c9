//! Every response of the tables, as a handler gives it.

use std::collections::BTreeSet;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use tower_idempotency::store::StoreErrorKind;
use tower_idempotency::{KeyError, OnMismatch, Rejection};

use super::table::{self, Row};
use crate::support::{Frames, rejections};

/// A response, and what it means.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) name: String,
    /// The content type of the request.
    pub(super) content_type: &'static str,
    pub(super) gives: Gives,
    /// The status of the record, if it has a response.
    pub(super) recorded: Option<StatusCode>,
    pub(super) row: Row,
}

#[derive(Debug, Clone)]
pub(super) struct Gives {
    pub(super) status: StatusCode,
    headers: HeaderMap,
    pub(super) body: Bytes,
    trailers: Option<HeaderMap>,
    rejection: Option<Rejection>,
}

const TEXT: &str = "text/plain";

/// Every row of every table.
pub(super) fn all() -> Vec<Case> {
    let mut cases = over_http();
    cases.extend(table::more_than_a_status().into_iter().flat_map(more_than_a_status));
    #[cfg(feature = "grpc")]
    cases.extend(table::over_grpc().into_iter().flat_map(grpc::by_code));
    cases
}

/// Responses over HTTP to gRPC requests: they are judged by the table of HTTP, and no store can
/// tell.
#[cfg(feature = "grpc")]
pub(super) fn not_grpc() -> Vec<Case> {
    let mut cases = over_http();
    for case in &mut cases {
        case.content_type = grpc::GRPC;
        case.name += " to a gRPC request";
    }
    cases
}

/// Every status of HTTP, and the first and the last one beyond.
fn over_http() -> Vec<Case> {
    let rows =
        table::over_http().into_iter().filter(|(status, _)| *status <= 600 || *status == 999);
    rows.map(|(status, row)| by_status(status, row)).collect()
}

fn by_status(status: u16, row: Row) -> Case {
    let status = StatusCode::from_u16(status).unwrap();
    let headers = headers(&[("content-type", TEXT), ("x-of", status.as_str())]);
    let body = format!("a {status}").into();
    let gives = Gives { status, headers, body, trailers: None, rejection: None };
    Case {
        name: status.to_string(),
        content_type: TEXT,
        gives,
        recorded: (status.as_u16() < 600).then_some(status),
        row,
    }
}

fn more_than_a_status((name, row): (String, Row)) -> Vec<Case> {
    let conflict = |lines: &[(&'static str, &str)]| {
        let mut case = by_status(409, row);
        case.gives.headers.extend(headers(lines));
        vec![case]
    };
    let (after, now) = (("retry-after", "1"), std::time::Duration::from_secs(1));
    let mut cases = match &*name {
        "409 and Retry-After" => conflict(&[after]),
        "409 and X-Should-Retry: true" => conflict(&[("x-should-retry", "true")]),
        "409, Retry-After and X-Should-Retry: false" => {
            conflict(&[after, ("x-should-retry", "false")])
        }
        "a rejection of this crate" => [
            Rejection::KeyMissing { headers: Vec::new(), member: None },
            Rejection::KeyInvalid(KeyError::Empty),
            Rejection::ScopeMissing,
            Rejection::RequestUnreadable,
            Rejection::RequestTooLarge { limit: None },
            Rejection::RequestTimeout,
            Rejection::KeyReused { status: OnMismatch::Conflict },
            Rejection::InFlight { retry_after: now },
            Rejection::ResultNotRetained { original_status: StatusCode::OK, location: None },
            Rejection::OutcomeUnknown,
            Rejection::AttemptFailed { original_status: None },
            Rejection::TooManyInFlight { retry_after: now },
            Rejection::QuotaExceeded { retry_after: now },
            Rejection::ShuttingDown { retry_after: now },
            Rejection::StoreUnavailable { kind: StoreErrorKind::Full, retry_after: now },
        ]
        .map(|rejection| rejected(&rejection, row))
        .concat(),
        "a rejection of this crate, after the operation had begun" => [
            Rejection::CommitUnconfirmed { kind: StoreErrorKind::Timeout, retry_after: now },
            Rejection::TransactionLost,
        ]
        .map(|rejection| rejected(&rejection, row))
        .concat(),
        _ => panic!("no response has this: {name}"),
    };
    if name.starts_with("a rejection") {
        all_are_here(&cases, name.contains("had begun"));
    }
    for case in &mut cases {
        case.name = format!("{name}: {} {:?}", case.name, case.gives.rejection);
    }
    cases
}

/// The cases have every rejection of the table whose operation had begun, or had not.
fn all_are_here(cases: &[Case], had_begun: bool) {
    let given: BTreeSet<_> =
        cases.iter().filter_map(|case| Some(case.gives.rejection.as_ref()?.code())).collect();
    let rows = rejections();
    let expected = rows.iter().filter(|row| row.had_begun == had_begun);
    assert_eq!(given, expected.map(|row| &*row.code).collect(), "{}", file!());
}

/// By a layer further in, and by one in another process.
fn rejected(rejection: &Rejection, row: Row) -> [Case; 2] {
    let mut case = by_status(rejection.status().as_u16(), row);
    let mut elsewhere = case.clone();
    case.gives.rejection = Some(rejection.clone());
    let (head, body) = rejection.render().into_parts();
    elsewhere.gives = Gives { headers: head.headers, body, ..elsewhere.gives };
    [case, elsewhere]
}

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let line = |(name, value): &(&'static str, &str)| {
        (header::HeaderName::from_static(name), value.parse::<header::HeaderValue>().unwrap())
    };
    lines.iter().map(line).collect()
}

impl Gives {
    pub(super) fn response(&self) -> Response<Body> {
        let body = match &self.trailers {
            None => Body::from(self.body.clone()),
            Some(trailers) => Body::new(Frames::unknown(&[&self.body]).trailers(trailers.clone())),
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        if let Some(rejection) = &self.rejection {
            response.extensions_mut().insert(rejection.clone());
        }
        response
    }
}

#[cfg(feature = "grpc")]
mod grpc {
    use tonic::{Code, Status};
    use tonic_types::{ErrorDetails, StatusExt};

    use super::{Body, Bytes, Case, Gives, HeaderMap, Row, StatusCode, headers};

    pub(super) const GRPC: &str = "application/grpc";

    /// Every way in which a response has the code.
    pub(super) fn by_code((name, (status, row)): (String, (u16, Row))) -> Vec<Case> {
        let recorded = Some(StatusCode::from_u16(status).unwrap());
        let told: Vec<HeaderMap> = match &*name {
            "none" => vec![HeaderMap::new()],
            "any other number" => ["17", "4294967296", "-1", "", "zero"].map(code).to_vec(),
            "10 ABORTED, and when to retry" => {
                let said = [("grpc-retry-pushback-ms", "0"), ("retry-after", "1")];
                let mut told: Vec<_> =
                    said.map(|said| headers(&[("grpc-status", "10"), said])).to_vec();
                let details =
                    ErrorDetails::with_retry_info(Some(std::time::Duration::from_secs(1)));
                let status = Status::with_error_details(Code::Aborted, "later", details);
                let mut head = status.into_http::<Body>().into_parts().0.headers;
                head.remove("content-type");
                told.push(head);
                told
            }
            "10 ABORTED" => {
                let never = headers(&[("grpc-status", "10"), ("grpc-retry-pushback-ms", "-1")]);
                vec![code("10"), never]
            }
            _ => vec![code(name.split_once(' ').expect("a number and a word").0)],
        };
        let case = |(number, told): (usize, HeaderMap)| {
            let content_type = headers(&[("content-type", GRPC)]);
            let give = |headers, trailers| Gives {
                status: StatusCode::OK,
                headers,
                body: Bytes::from_static(b"\0\0\0\0\0"),
                trailers,
                rejection: None,
            };
            let mut in_head = content_type.clone();
            in_head.extend(told.clone());
            [("head", give(in_head, None)), ("trailers", give(content_type, Some(told)))].map(
                |(place, gives)| {
                    let name = format!("{name} in the {place}, {number}");
                    Case { name, content_type: GRPC, gives, recorded, row }
                },
            )
        };
        told.into_iter().enumerate().flat_map(case).collect()
    }

    fn code(value: &str) -> HeaderMap {
        headers(&[("grpc-status", value)])
    }
}
