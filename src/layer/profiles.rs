//! Profiles: one setter that applies the rules of the IETF draft or of Stripe.

use http::HeaderName;

use super::IdempotencyLayer;
use crate::http::class::ResponseClass;
use crate::http::rejection::OnMismatch;
use crate::settings::{KEY_HEADERS, OnFailed};
use crate::store::Store;

/// The default headers, that of the IETF draft first. They count alike, and documentation names the
/// first one first.
fn draft_first() -> [HeaderName; 2] {
    let [ours, draft] = KEY_HEADERS;
    [draft, ours]
}

impl<St: Store> IdempotencyLayer<St> {
    /// Applies the rules of [draft-ietf-httpapi-idempotency-key-header-07]. Setters that come after
    /// it still count.
    ///
    /// | the draft | section | this layer |
    /// |---|---|---|
    /// | the header is `Idempotency-Key` | 2 | that one, and `X-Idempotency-Key` too, so that no key passes unguarded because of its header's name; 400 if both are present and differ |
    /// | the value is a structured field String | 2.1 | strict RFC 9651 (which replaces RFC 8941), parsed by `sfv`: a bare value gets 400. Every String of 1 to 255 characters is a key, spaces included |
    /// | the header occurs once | 2.1 | twice gets 400 |
    /// | a key is not used with another payload | 2.2 | the fingerprint, over method, path, query and content type too |
    /// | the server publishes the expiry | 2.3 | [`retention`](Self::retention), 24 h |
    /// | a retry gets the earlier result, "success or an error" | 2.6 | responses from 200 to 499 are stored and replayed, 400 and 429 included. 5xx is `failed`, and runs again: set [`on_failed`](Self::on_failed) to replay it. [`ResponseClass::by_ietf`] lists the few statuses that are not a result |
    /// | a concurrent retry gets a conflict | 2.6 | 409 with `Retry-After` |
    /// | a missing key where one is required: 400 | 2.7 | set [`require_key`](Self::require_key) for such a resource |
    /// | another payload under the key: 422 | 2.7 | 422, `X-Should-Retry: false` |
    /// | errors link to documentation, as a problem of RFC 7807 | 2.7 | `application/problem+json` (RFC 9457, which replaces it), whose `type` is the page of the rejection |
    /// | composite keys, so that no client gets the response of another | 5 | [`scope`](Self::scope) |
    ///
    /// [draft-ietf-httpapi-idempotency-key-header-07]: https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header-07
    #[cfg(feature = "strict-keys")]
    #[must_use]
    pub fn ietf(self) -> Self {
        self.headers(draft_first())
            .strict_keys()
            .on_mismatch(OnMismatch::UnprocessableContent)
            .classify(ResponseClass::by_ietf)
    }

    /// Applies the rules of Stripe's API, from its pages [Idempotent requests] and
    /// [Advanced error handling]. Setters that come after it still count.
    ///
    /// | Stripe | this layer |
    /// |---|---|
    /// | the header is `Idempotency-Key`, up to 255 characters | that one, and `X-Idempotency-Key` too; 1 to 255 bytes of visible ASCII, quoted or not |
    /// | POST requests accept keys; on GET and DELETE they have no effect | POST only |
    /// | the first status and body are stored "regardless of whether it succeeds or fails", 500 included | stored and replayed: 5xx is `failed`, with [`OnFailed::Replay`]. An attempt without a response, such as a panic, is rejected with 409 |
    /// | not stored: failed validation, and 401 and 429, which come from before the endpoint | 400, 401 and 429 leave no record; [`ResponseClass::by_stripe`] lists the few others that are not a result |
    /// | a replay has `Idempotent-Replayed: true` | that header, beside `X-Idempotent-Result: true` |
    /// | other parameters under the key: 400, `idempotency_error` | 400, `code` `idempotency_key_reused`, and `X-Should-Retry: false` where Stripe has `Stripe-Should-Retry` |
    /// | a concurrent retry: 409, `idempotency_key_in_use` | 409, `code` `idempotency_key_in_flight`, `Retry-After` |
    /// | keys are removed after at least 24 hours | [`retention`](Self::retention), 24 h |
    /// | errors are `{"error":{…}}` | `application/problem+json`; [`rejection_response`](Self::rejection_response) changes that |
    ///
    /// [Idempotent requests]: https://docs.stripe.com/api/idempotent_requests
    /// [Advanced error handling]: https://docs.stripe.com/error-low-level
    #[must_use]
    pub fn stripe(self) -> Self {
        self.headers(draft_first())
            .methods([http::Method::POST])
            .on_mismatch(OnMismatch::BadRequest)
            .on_failed(OnFailed::Replay)
            .classify(ResponseClass::by_stripe)
            .replay_marker(HeaderName::from_static("idempotent-replayed"))
    }
}
