//! The metadata of a response, which contain the status of a call.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, HeaderName, HeaderValue, Response};

use super::details::{self, Details};
use super::{Code, DETAILS, PUSHBACK, STATUS};
use crate::http::class::ResponseClass;
use crate::http::rejection::asks_again;

/// Clients and servers send binary metadata with and without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The places of a call's status: the head, and then the trailers.
pub(super) struct Metadata<'a>([Option<&'a HeaderMap>; 2]);

impl<'a> Metadata<'a> {
    pub(super) fn of<B>(response: &'a Response<B>, trailers: Option<&'a HeaderMap>) -> Self {
        Self([Some(response.headers()), trailers])
    }

    fn get(&self, name: &HeaderName) -> Option<&'a HeaderValue> {
        self.0.iter().flatten().find_map(|lines| lines.get(name))
    }

    pub(super) fn has_status(&self) -> bool {
        self.get(&STATUS).is_some()
    }

    pub(super) fn code(&self) -> Option<Code> {
        Code::parse(self.get(&STATUS)?.as_bytes())
    }

    pub(super) fn details(&self) -> Details {
        let details = self.get(&DETAILS).and_then(|value| BASE64.decode(value.as_bytes()).ok());
        details.map(|status| details::read(status.into())).unwrap_or_default()
    }

    /// Whether the metadata ask for a retry. A pushback that is negative or unreadable forbids a
    /// retry (gRFC A6).
    fn asks_again(&self) -> bool {
        if let Some(pushback) = self.get(&PUSHBACK) {
            let millis = pushback.to_str().ok().and_then(|value| value.parse::<i64>().ok());
            return millis.is_some_and(|millis| millis >= 0);
        }
        self.0.iter().flatten().any(|lines| asks_again(lines)) || self.details().has_retry_info
    }

    pub(super) fn class(&self) -> ResponseClass {
        match self.code() {
            // The call lost to a concurrent one.
            Some(Code::Aborted) if self.asks_again() => ResponseClass::Discard,
            code => code.map_or(ResponseClass::Failed, ResponseClass::of_grpc),
        }
    }
}
