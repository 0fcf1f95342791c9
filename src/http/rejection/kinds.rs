//! Every kind of rejection, and the table with everything that is fixed about each.
//!
//! The table is the only place that decides about a rejection. What cannot read it is checked
//! against `tests/vectors/rejections.json`, which a test writes from the table: both clients, the
//! README and the guides.

use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};

use super::OnMismatch;
use super::spec::{header_of, table};
use crate::record::fingerprint::JsonPointer;
use crate::record::key::KeyError;
use crate::store::StoreErrorKind;

/// Why the layer rejected a request, in place of a response of the handler.
///
/// [`code`](Self::code) lists all of them, with their statuses and what a client does.
///
/// The rejection is in the extensions of the response, so that layers outside can count and log it.
/// No rejection contains the key.
///
/// # Layers inside of a layer
///
/// A layer never stores the rejection of another one as the result of its own operation. It
/// recognizes a rejection by:
///
/// - the `Rejection` in the extensions of the response,
/// - `application/problem+json` with a status from 400 on, and one of these [codes](Self::code),
/// - over gRPC, an `ErrorInfo` of the domain `tower-idempotency`.
///
/// The record is then as it was before the attempt. It is `failed` if the operation had begun: see
/// [`statuses`](crate::guide::statuses#more-than-a-status), which names these kinds. This comes
/// before a [`ResponseDirective`](crate::ResponseDirective) and before `classify`.
///
/// A [`rejection_response`](crate::IdempotencyLayer::rejection_response) that changes the content
/// type or the code hides a rejection from a layer in another process. So does a compression of the
/// response in between.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// The request has no key, and the layer was told to require one.
    KeyMissing {
        /// The headers that the layer reads.
        headers: Vec<HeaderName>,
        /// The member of a JSON body that the layer reads too.
        member: Option<JsonPointer>,
    },
    /// The value of the key header is not a key.
    KeyInvalid(KeyError),
    /// The [`scope`](crate::IdempotencyLayer::scope) function found no caller. Nothing was done.
    ///
    /// The response has no `WWW-Authenticate`, because the layer does not know how callers
    /// authenticate. A [`rejection_response`](crate::IdempotencyLayer::rejection_response) can add
    /// it.
    ScopeMissing,
    /// The body of the request could not be read to its end.
    RequestUnreadable,
    /// The body of the request is larger than the layer buffers.
    RequestTooLarge {
        /// The limit in bytes, if it is this layer's and not that of a layer outside.
        limit: Option<usize>,
    },
    /// The body of the request made no progress for the
    /// [`body_timeout`](crate::IdempotencyLayer::body_timeout). Nothing was done. Over HTTP/1.1 the
    /// connection is closed.
    RequestTimeout,
    /// The key was used for another request.
    KeyReused {
        /// The status that the layer was told to give.
        status: OnMismatch,
    },
    /// The first request with this key is still running.
    InFlight {
        /// When to retry.
        retry_after: Duration,
    },
    /// The operation was done, but its response was not stored: it was too large, streamed,
    /// stalled, rejected by the store, or withheld
    /// ([`StoredResponse::Nothing`](crate::StoredResponse::Nothing)).
    ResultNotRetained {
        /// The status of the response.
        original_status: StatusCode,
        /// The `Location` of the response.
        location: Option<HeaderValue>,
    },
    /// An earlier attempt was cut off, and the layer was told not to run the operation again.
    OutcomeUnknown,
    /// An earlier attempt failed, and the layer was told not to run the operation again.
    AttemptFailed {
        /// The status of the failed response, if there was one.
        original_status: Option<StatusCode>,
    },
    /// As many operations are in flight as the layer was told to have at most.
    TooManyInFlight {
        /// When to retry.
        retry_after: Duration,
    },
    /// The scope of the request has used up its quota: that of new keys, one of the application's,
    /// or its share of the store.
    QuotaExceeded {
        /// When to retry.
        retry_after: Duration,
    },
    /// The service is about to end, and begins nothing new.
    ShuttingDown {
        /// When to retry.
        retry_after: Duration,
    },
    /// The store is down, too slow, full or not set up, or has a record that cannot be read.
    StoreUnavailable {
        /// The kind of failure.
        kind: StoreErrorKind,
        /// When to retry.
        retry_after: Duration,
    },
    /// Transaction mode: the operation ran, and the store failed during the commit. The transaction
    /// was rolled back, or it is not known at the moment whether it was. A retry shows which.
    CommitUnconfirmed {
        /// The kind of store failure.
        kind: StoreErrorKind,
        /// When to retry.
        retry_after: Duration,
    },
    /// Transaction mode: the handler did not give its transaction back, ended it, or left it so
    /// that it cannot be committed, by a deferred constraint or a role. It was rolled back, except
    /// for what the handler has committed by itself. The log says why.
    TransactionLost,
}

#[cfg(any(test, feature = "openapi"))]
const SOON: Duration = Duration::from_millis(1_250);

table! {
    KeyMissing {
        code: "idempotency_key_missing",
        title: "Idempotency key missing",
        status: 400 BAD_REQUEST,
        grpc: INVALID_ARGUMENT,
        advice: Silent,
        had_begun: false,
        occasion: KeyIsRequired,
        client: unknown,
        when: "The request has no key, and the layer requires one.",
        then: "Sends the request with a key.",
        detail: "This operation requires an idempotency key in {}. Send one that is new for each operation.",
        sample: Rejection::KeyMissing {
            headers: vec![HeaderName::from_static("x-idempotency-key")],
            member: None,
        },
    }

    KeyInvalid {
        code: "idempotency_key_invalid",
        title: "Idempotency key invalid",
        status: 400 BAD_REQUEST,
        grpc: INVALID_ARGUMENT,
        advice: Silent,
        had_begun: false,
        occasion: Always,
        client: unknown,
        when: "The key is malformed, or the request has two.",
        then: "Corrects the key.",
        detail: "Not a key: {}. A key is 1 to 255 bytes of visible ASCII, sent once.",
        sample: Rejection::KeyInvalid(KeyError::Empty),
    }

    ScopeMissing {
        code: "idempotency_scope_missing",
        title: "Owner of the idempotency key unknown",
        status: 401 UNAUTHORIZED,
        grpc: UNAUTHENTICATED,
        advice: Silent,
        had_begun: false,
        occasion: ScopeIsSet,
        client: unknown,
        when: "The `scope` function of the server found no caller.",
        then: "Authenticates, and sends the request under the same key.",
        detail: "The request does not say who owns its key. Nothing was done. Authenticate, and send \
                 it with the same key.",
        sample: Rejection::ScopeMissing,
    }

    RequestUnreadable {
        code: "request_unreadable",
        title: "Request body unreadable",
        status: 400 BAD_REQUEST,
        grpc: INVALID_ARGUMENT,
        advice: Silent,
        had_begun: false,
        occasion: Always,
        client: unknown,
        when: "The body of the request ended early.",
        then: "Sends the whole request under the same key.",
        detail: "The request body ended early. Nothing was done.",
        sample: Rejection::RequestUnreadable,
    }

    RequestTooLarge {
        code: "request_too_large",
        title: "Request body too large",
        status: 413 PAYLOAD_TOO_LARGE,
        grpc: RESOURCE_EXHAUSTED,
        advice: Silent,
        had_begun: false,
        occasion: Always,
        client: unknown,
        when: "The body of the request is larger than `max_request`.",
        then: "Sends less.",
        detail: "The request body is larger than {}. Nothing was done.",
        sample: Rejection::RequestTooLarge { limit: Some(10) },
    }

    // A client does not retry a 408 of an operation that may have begun. This one never began.
    RequestTimeout {
        code: "request_timeout",
        title: "Request body too slow",
        status: 408 REQUEST_TIMEOUT,
        grpc: UNAVAILABLE,
        advice: ShouldRetry,
        had_begun: false,
        occasion: Always,
        client: retry,
        when: "The body of the request made no progress for `body_timeout`.",
        then: "Retries under the same key.",
        detail: "The request body stopped coming. Nothing was done. Retry with the same key.",
        sample: Rejection::RequestTimeout,
    }

    KeyReused {
        code: "idempotency_key_reused",
        title: "Idempotency key used for another request",
        status: 409 CONFLICT or 422 UNPROCESSABLE_ENTITY or 400 BAD_REQUEST,
        grpc: ALREADY_EXISTS,
        advice: NoRetry,
        had_begun: false,
        occasion: Always,
        client: unknown,
        when: "The key belongs to another request, running or finished.",
        then: "Uses a new key for another operation. If it has changed the request of this one, it looks first.",
        detail: "This key was used for another request. Use a new key for a new operation, or retry the \
                 first request unchanged.",
        sample: Rejection::KeyReused { status: OnMismatch::Conflict },
    }

    InFlight {
        code: "idempotency_key_in_flight",
        title: "Request in flight",
        status: 409 CONFLICT,
        grpc: ABORTED,
        advice: RetryAfter,
        had_begun: false,
        occasion: Always,
        client: retry,
        when: "The first request with this key is still running.",
        then: "Retries under the same key.",
        detail: "A request with this key is still running. Retry later.",
        sample: Rejection::InFlight { retry_after: SOON },
    }

    ResultNotRetained {
        code: "idempotency_result_not_retained",
        title: "Result not retained",
        status: 409 CONFLICT,
        grpc: ALREADY_EXISTS,
        advice: NoRetry,
        had_begun: false,
        occasion: Always,
        client: final,
        when: "The operation was done, and its response was not stored.",
        then: "Reads `original_status`, and asks for the result by other means.",
        detail: "The operation was done with status {}, but its response was not stored. It is not done again.",
        sample: Rejection::ResultNotRetained {
            original_status: StatusCode::CREATED,
            location: Some(HeaderValue::from_static("/payments/1")),
        },
    }

    OutcomeUnknown {
        code: "idempotency_outcome_unknown",
        title: "Outcome of an earlier attempt unknown",
        status: 409 CONFLICT,
        grpc: FAILED_PRECONDITION,
        advice: NoRetry,
        had_begun: false,
        occasion: AbandonedIsRejected,
        client: unknown,
        when: "An earlier attempt was cut off, and the layer does not run it again.",
        then: "Looks what was done.",
        detail: "An earlier attempt was cut off, and it is unknown how far it got. It is not done again.",
        sample: Rejection::OutcomeUnknown,
    }

    AttemptFailed {
        code: "idempotency_attempt_failed",
        title: "An earlier attempt failed",
        status: 409 CONFLICT,
        grpc: FAILED_PRECONDITION,
        advice: NoRetry,
        had_begun: false,
        occasion: FailedIsNotRerun,
        client: unknown,
        when: "An earlier attempt failed, and the layer does not run it again.",
        then: "Looks what was done.",
        detail: "An earlier attempt failed. It is not done again under this key.",
        sample: Rejection::AttemptFailed { original_status: Some(StatusCode::BAD_GATEWAY) },
    }

    TooManyInFlight {
        code: "idempotency_too_many_in_flight",
        title: "Too many operations in flight",
        status: 503 SERVICE_UNAVAILABLE,
        grpc: UNAVAILABLE,
        advice: RetryAfter,
        had_begun: false,
        occasion: InFlightIsLimited,
        client: retry,
        when: "As much is in flight as `max_in_flight` allows.",
        then: "Retries under the same key.",
        detail: "This server has as many operations in flight as it takes. Nothing was done. Retry later.",
        sample: Rejection::TooManyInFlight { retry_after: SOON },
    }

    QuotaExceeded {
        code: "idempotency_quota_exceeded",
        title: "Quota exceeded",
        status: 429 TOO_MANY_REQUESTS,
        grpc: RESOURCE_EXHAUSTED,
        advice: RetryAfter,
        had_begun: false,
        occasion: ScopeIsLimited,
        client: retry,
        when: "The scope has used up its quota, or its share of the store.",
        then: "Retries under the same key.",
        detail: "Your quota is used up. Nothing was done. Retry later.",
        sample: Rejection::QuotaExceeded { retry_after: SOON },
    }

    ShuttingDown {
        code: "idempotency_shutting_down",
        title: "Service shutting down",
        status: 503 SERVICE_UNAVAILABLE,
        grpc: UNAVAILABLE,
        advice: RetryAfter,
        had_begun: false,
        occasion: Always,
        client: retry,
        when: "`shutdown` was called.",
        then: "Retries under the same key.",
        detail: "This server is shutting down and began nothing. Retry later.",
        sample: Rejection::ShuttingDown { retry_after: SOON },
    }

    StoreUnavailable {
        code: "idempotency_store_unavailable",
        title: "Idempotency store unavailable",
        status: 503 SERVICE_UNAVAILABLE,
        grpc: UNAVAILABLE,
        advice: RetryAfter,
        had_begun: false,
        occasion: Always,
        client: retry,
        when: "The store is down, slow, full or not set up, or a record in it cannot be read.",
        then: "Retries under the same key.",
        detail: "The request could not be checked against earlier ones, so nothing was done. Retry later.",
        sample: Rejection::StoreUnavailable { kind: StoreErrorKind::Timeout, retry_after: SOON },
    }

    CommitUnconfirmed {
        code: "idempotency_commit_unconfirmed",
        title: "Commit unconfirmed",
        status: 503 SERVICE_UNAVAILABLE,
        grpc: UNAVAILABLE,
        advice: RetryAfter,
        had_begun: true,
        occasion: IsTransactional,
        client: retry,
        when: "Transaction mode: the store failed during the commit.",
        then: "Retries under the same key. The response shows whether it was done.",
        detail: "The commit could not be confirmed: the operation was done once or not at all. Retry later \
                 with the same key to learn which.",
        sample: Rejection::CommitUnconfirmed { kind: StoreErrorKind::Timeout, retry_after: SOON },
    }

    TransactionLost {
        code: "idempotency_transaction_lost",
        title: "Transaction lost",
        status: 500 INTERNAL_SERVER_ERROR,
        grpc: INTERNAL,
        advice: Silent,
        had_begun: true,
        occasion: IsTransactional,
        client: retry,
        when: "Transaction mode: the handler left a transaction that cannot be committed.",
        then: "Retries under the same key, and reports the fault.",
        detail: "The operation could not be finished because of a fault in this server.",
        sample: Rejection::TransactionLost,
    }
}

#[cfg(test)]
mod tests;
