//! The [`TraceContext`]: which trace a response was made in.

use std::fmt;
use std::str::FromStr;

use http::{HeaderName, HeaderValue};

use super::hex;
use super::outcome::Outcome;

/// The line of a stored response that has the trace in which it was made. No client gets it.
pub(crate) const ORIGINAL_TRACE: HeaderName = HeaderName::from_static("x-idempotent-traceparent");

/// Identifies a span of a trace, as W3C Trace Context does.
///
/// ```
/// use tower_idempotency::operate::TraceContext;
///
/// let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let context: TraceContext = text.parse().unwrap();
/// assert_eq!(context.flags, 1);
/// assert_eq!(context.to_string(), text);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct TraceContext {
    /// The id of the trace.
    pub trace_id: [u8; 16],
    /// The id of the span.
    pub span_id: [u8; 8],
    /// The flags. The lowest bit says that the trace is sampled.
    pub flags: u8,
}

impl TraceContext {
    /// The span with these ids. `None` if an id is zero, because then there is no such span.
    pub fn new(trace_id: [u8; 16], span_id: [u8; 8], flags: u8) -> Option<Self> {
        let is_valid = trace_id != [0; 16] && span_id != [0; 8];
        is_valid.then_some(Self { trace_id, span_id, flags })
    }
}

/// The value of the header `traceparent`.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trace, span) = (u128::from_be_bytes(self.trace_id), u64::from_be_bytes(self.span_id));
        write!(f, "00-{trace:032x}-{span:016x}-{:02x}", self.flags)
    }
}

/// The text is not a `traceparent` of version 00.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidTraceContext;

impl fmt::Display for InvalidTraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a traceparent of version 00")
    }
}

impl std::error::Error for InvalidTraceContext {}

impl FromStr for TraceContext {
    type Err = InvalidTraceContext;

    fn from_str(text: &str) -> Result<Self, InvalidTraceContext> {
        let mut parts = text.split('-');
        let [version, trace_id, span_id, flags] =
            [(); 4].map(|()| parts.next().unwrap_or_default());
        let context = || {
            let [flags] = hex::read(flags)?;
            Self::new(hex::read(trace_id)?, hex::read(span_id)?, flags)
        };
        match context() {
            Some(context) if version == "00" && parts.next().is_none() => Ok(context),
            _ => Err(InvalidTraceContext),
        }
    }
}

impl Outcome {
    /// Stores the trace in which the response was made.
    pub(crate) fn set_trace(&mut self, trace: &TraceContext) {
        if let Ok(value) = HeaderValue::from_str(&trace.to_string()) {
            self.headers.insert(ORIGINAL_TRACE, value);
        }
    }

    /// Takes out the trace in which the response was made, if it is stored.
    pub(crate) fn take_trace(&mut self) -> Option<TraceContext> {
        self.headers.remove(ORIGINAL_TRACE)?.to_str().ok()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use http::StatusCode;

    use super::*;
    use crate::record::outcome::StoredBody;

    const TEXT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn only_a_traceparent_of_version_00_with_ids_is_read() {
        assert_eq!(TEXT.parse::<TraceContext>().unwrap().to_string(), TEXT);
        for other in [
            "",
            "00",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-00",
            "00-4bf92f3577b34da6a3ce929d0e0e47-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        ] {
            assert_eq!(other.parse::<TraceContext>(), Err(InvalidTraceContext), "{other}");
        }
    }

    #[test]
    fn a_response_loses_its_trace_when_it_is_taken_out() {
        let mut outcome = Outcome::new(StatusCode::OK, StoredBody::Omitted);
        outcome.set_trace(&TEXT.parse().unwrap());
        assert_eq!(outcome.take_trace().unwrap().to_string(), TEXT);
        assert!(outcome.take_trace().is_none() && outcome.headers.is_empty());
    }
}
