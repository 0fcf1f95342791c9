//! The gRPC codes, and what each means for a key.

use http::StatusCode;

use crate::http::class::ResponseClass;

/// The code of a gRPC status, with its number.
///
/// The list is closed: see [the status codes of gRPC](https://grpc.io/docs/guides/status-codes/).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "gRPC defines them, not this crate")]
pub enum Code {
    Ok = 0,
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

/// Every code, at the index that is its number.
const ALL: [Code; 17] = [
    Code::Ok,
    Code::Cancelled,
    Code::Unknown,
    Code::InvalidArgument,
    Code::DeadlineExceeded,
    Code::NotFound,
    Code::AlreadyExists,
    Code::PermissionDenied,
    Code::ResourceExhausted,
    Code::FailedPrecondition,
    Code::Aborted,
    Code::OutOfRange,
    Code::Unimplemented,
    Code::Internal,
    Code::Unavailable,
    Code::DataLoss,
    Code::Unauthenticated,
];

impl Code {
    /// The number on the wire.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// Parses the value of `grpc-status`. Returns `None` unless it is a number that gRPC defines.
    pub fn parse(value: &[u8]) -> Option<Self> {
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let number: usize = std::str::from_utf8(value).ok()?.parse().ok()?;
        ALL.get(number).copied()
    }

    /// The code with this number, or `Unknown`.
    pub(super) fn of(number: u8) -> Self {
        ALL.get(usize::from(number)).copied().unwrap_or(Self::Unknown)
    }

    /// The HTTP status that `google/rpc/code.proto` maps the code to.
    pub(super) fn over_http(self) -> StatusCode {
        let status = match self {
            Self::Ok => 200,
            Self::InvalidArgument | Self::FailedPrecondition | Self::OutOfRange => 400,
            Self::Unauthenticated => 401,
            Self::PermissionDenied => 403,
            Self::NotFound => 404,
            Self::AlreadyExists | Self::Aborted => 409,
            Self::ResourceExhausted => 429,
            Self::Cancelled => 499,
            Self::Unknown | Self::Internal | Self::DataLoss => 500,
            Self::Unimplemented => 501,
            Self::Unavailable => 503,
            Self::DeadlineExceeded => 504,
        };
        StatusCode::from_u16(status).unwrap_or_default()
    }
}

impl ResponseClass {
    /// Returns the default class of a gRPC code. Needs the feature `grpc`.
    ///
    /// | class | codes |
    /// |---|---|
    /// | success | `OK`, `NOT_FOUND`, `ALREADY_EXISTS` |
    /// | discarded | `INVALID_ARGUMENT`, `FAILED_PRECONDITION`, `OUT_OF_RANGE`, `UNAUTHENTICATED`, `PERMISSION_DENIED`, `RESOURCE_EXHAUSTED`, `UNIMPLEMENTED` |
    /// | failed | all others |
    ///
    /// A discarded code says "not like this" or "not now". After a failed one it is unknown how far
    /// the call got.
    ///
    /// The class equals [`ResponseClass::of`] for the mapped HTTP status. The mapping is in
    /// [`google/rpc/code.proto`](https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto).
    /// Three codes differ:
    ///
    /// | code | mapped to | here | because |
    /// |---|---|---|---|
    /// | `CANCELLED` | 499, success | failed | the call was cut off, and it is unknown how far it got |
    /// | `ABORTED` | 409, success | failed | it asks for a retry of the whole operation, where a plain 409 is a result |
    /// | `UNIMPLEMENTED` | 501, failed | discarded | no handler ran |
    ///
    /// `FAILED_PRECONDITION` is mapped to 400, and means what 412 means. Both are discarded.
    ///
    /// The layer reads more than the code: it discards an `ABORTED` that says when to retry, as it
    /// discards such a 409.
    pub fn of_grpc(code: Code) -> Self {
        match code {
            Code::Ok | Code::NotFound | Code::AlreadyExists => Self::Success,
            Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unauthenticated
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::Unimplemented => Self::Discard,
            Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss => Self::Failed,
        }
    }
}
