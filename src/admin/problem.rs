//! Every rejection of the operators' routes, as a problem document (RFC 9457).

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use super::shape::Record;
use crate::operate::{InvalidText, OperatorError};
use crate::store::operator::RecordInfo;
use crate::store::{StoreError, StoreErrorKind};

/// The page that explains all of them.
const TYPE: &str =
    "https://docs.rs/tower-idempotency/latest/tower_idempotency/admin/index.html#problems";

/// Why a request to the operators' routes was rejected.
pub(super) enum Problem {
    HostNotAllowed,
    CrossSite,
    UnknownOperator {
        challenge: Option<HeaderValue>,
    },
    InvalidOperator(InvalidText),
    NotJson,
    /// The request is not one of those that the routes take.
    Invalid(String),
    /// The request is well formed, and asks for what cannot be done.
    Unprocessable(String),
    TooLarge,
    WrongMethod,
    NoRecord,
    /// Several records begin with these digits. Some of them.
    Ambiguous(Vec<RecordInfo>),
    /// The store has not read all of its records in time.
    Unfinished,
    Moved(Option<Box<RecordInfo>>),
    InFlight(Option<Box<RecordInfo>>),
    HasResponse(Option<Box<RecordInfo>>),
    Unreadable(Option<Box<RecordInfo>>),
    Store(StoreError),
}

impl Problem {
    /// The status, the code and the title.
    fn spec(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::HostNotAllowed => {
                (StatusCode::FORBIDDEN, "admin_host_not_allowed", "Host not allowed")
            }
            Self::CrossSite => {
                (StatusCode::FORBIDDEN, "admin_cross_site", "Request of another site")
            }
            Self::UnknownOperator { challenge: Some(_) } => {
                (StatusCode::UNAUTHORIZED, "admin_operator_unknown", "Operator unknown")
            }
            Self::UnknownOperator { challenge: None } => {
                (StatusCode::FORBIDDEN, "admin_operator_unknown", "Operator unknown")
            }
            Self::InvalidOperator(_) => {
                (StatusCode::FORBIDDEN, "admin_operator_invalid", "Name of the operator invalid")
            }
            Self::NotJson => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "admin_not_json", "JSON expected")
            }
            Self::Invalid(_) => {
                (StatusCode::BAD_REQUEST, "admin_request_invalid", "Request invalid")
            }
            Self::Unprocessable(_) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "admin_change_invalid", "Change invalid")
            }
            Self::TooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "admin_request_too_large", "Request too large")
            }
            Self::WrongMethod => {
                (StatusCode::METHOD_NOT_ALLOWED, "admin_method_not_allowed", "Method not allowed")
            }
            Self::NoRecord => (StatusCode::NOT_FOUND, "admin_record_unknown", "Record unknown"),
            Self::Ambiguous(_) => {
                (StatusCode::CONFLICT, "admin_digits_ambiguous", "Several records")
            }
            Self::Unfinished => {
                (StatusCode::SERVICE_UNAVAILABLE, "admin_search_unfinished", "Search unfinished")
            }
            Self::Moved(_) => (StatusCode::CONFLICT, "admin_record_moved", "Record has moved on"),
            Self::InFlight(_) => {
                (StatusCode::CONFLICT, "admin_record_in_flight", "An attempt runs")
            }
            Self::HasResponse(_) => {
                (StatusCode::CONFLICT, "admin_record_has_response", "Record has a response")
            }
            Self::Unreadable(_) => {
                (StatusCode::CONFLICT, "admin_response_unreadable", "Response unreadable")
            }
            Self::Store(error) => of_store(error.kind()),
        }
    }

    fn detail(&self) -> String {
        let detail = match self {
            Self::HostNotAllowed => {
                "the request names a host that the operators' routes do not know: name it by \
                 `Admin::host`"
            }
            Self::CrossSite => "the request comes from a page of another site: nothing was done",
            Self::UnknownOperator { .. } => {
                "the request does not name an operator: nothing was done"
            }
            Self::NotJson => "a change is sent as `application/json`: nothing was changed",
            Self::TooLarge => "the body of the request is too large: nothing was changed",
            Self::WrongMethod => "the route does not take this method: `Allow` says which",
            Self::NoRecord => "no record begins with these digits",
            Self::Ambiguous(_) => "several records begin with these digits: give more of them",
            Self::Unfinished => {
                "the store has too many records to search all of them in time: give all 64 digits"
            }
            Self::Moved(None) => "the record is gone since you saw it: nothing was changed",
            Self::Moved(Some(now)) => {
                return format!(
                    "the record has moved on since you saw it, and is now {}, attempt {}: nothing \
                     was changed",
                    now.state.word(),
                    now.attempt
                );
            }
            Self::InFlight(_) => {
                "an attempt runs: nothing was changed; wait until it ends, or send `even_in_flight`"
            }
            Self::HasResponse(_) => {
                "clients get the response of this operation: nothing was changed; erase the record \
                 to run the operation again"
            }
            Self::Unreadable(_) => {
                "the response cannot be read with the keys of this layer: nothing was changed; if \
                 they are lost, send `even_unreadable`"
            }
            Self::InvalidOperator(error) => return error.to_string(),
            Self::Invalid(detail) | Self::Unprocessable(detail) => return detail.clone(),
            Self::Store(error) => return error.to_string(),
        };
        detail.to_owned()
    }
}

fn of_store(kind: StoreErrorKind) -> (StatusCode, &'static str, &'static str) {
    match kind {
        StoreErrorKind::Unsupported => {
            (StatusCode::NOT_IMPLEMENTED, "admin_store_unsupported", "Not supported by the store")
        }
        StoreErrorKind::Rejected => {
            (StatusCode::UNPROCESSABLE_ENTITY, "admin_store_rejected", "Rejected by the store")
        }
        _ => (StatusCode::SERVICE_UNAVAILABLE, "admin_store_failed", "Store failed"),
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, code, title) = self.spec();
        let mut problem = json!({
            "type": TYPE,
            "title": title,
            "status": status.as_u16(),
            "detail": self.detail(),
            "code": code,
        });
        match &self {
            Self::Moved(now)
            | Self::InFlight(now)
            | Self::HasResponse(now)
            | Self::Unreadable(now) => {
                problem["record"] = json!(now.as_deref().map(Record::from));
            }
            Self::Ambiguous(found) => {
                problem["records"] = json!(found.iter().map(Record::from).collect::<Vec<_>>());
            }
            _ => {}
        }
        let content_type = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (status, content_type, problem.to_string()).into_response();
        if let Self::UnknownOperator { challenge: Some(challenge) } = self {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<OperatorError> for Problem {
    fn from(error: OperatorError) -> Self {
        match error {
            OperatorError::Store(error) => Self::Store(error),
            OperatorError::Text(error) => Self::Unprocessable(error.to_string()),
            OperatorError::Response(error) => Self::Unprocessable(error.to_string()),
        }
    }
}
