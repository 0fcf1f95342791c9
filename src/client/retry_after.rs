//! `Retry-After`, as RFC 9110, section 10.2.3, has it.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, header};

/// How long a response asks to wait: seconds, or the time until a date. The date is judged by the
/// response's own `Date` where there is one, so that a client whose clock is wrong waits no longer
/// than others. `None` if nothing in it can be understood.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let asked = text(headers.get(header::RETRY_AFTER)?)?;
    if !asked.is_empty() && asked.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit mean: very long.
        return Some(Duration::from_secs(asked.parse().unwrap_or(u64::MAX)));
    }
    let until = httpdate::parse_http_date(asked).ok()?;
    let told = headers.get(header::DATE).and_then(text).and_then(|date| httpdate::parse_http_date(date).ok());
    // A date that is past asks for no time at all.
    Some(until.duration_since(told.unwrap_or(now)).unwrap_or_default())
}

fn text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok().map(str::trim)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NOON: &str = "Mon, 23 Nov 2026 12:00:00 GMT";
    const LATER: &str = "Mon, 23 Nov 2026 12:01:30 GMT";

    fn asked(fields: &[(&'static str, &str)], now: &str) -> Option<Duration> {
        let fields = fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        retry_after(&fields.collect::<HeaderMap>(), httpdate::parse_http_date(now).unwrap())
    }

    #[test]
    fn seconds_are_read_whatever_their_number() {
        assert_eq!(asked(&[("retry-after", "0")], NOON), Some(Duration::ZERO));
        assert_eq!(asked(&[("retry-after", " 120 ")], NOON), Some(Duration::from_mins(2)));
        let endless = "9".repeat(40);
        assert_eq!(asked(&[("retry-after", &endless)], NOON), Some(Duration::from_secs(u64::MAX)));
    }

    #[test]
    fn a_date_is_judged_by_the_date_of_the_response_before_the_clock() {
        assert_eq!(asked(&[("retry-after", LATER)], NOON), Some(Duration::from_secs(90)));
        assert_eq!(asked(&[("retry-after", NOON)], LATER), Some(Duration::ZERO));
        let told = [("retry-after", LATER), ("date", NOON)];
        assert_eq!(asked(&told, "Fri, 01 Jan 1999 00:00:00 GMT"), Some(Duration::from_secs(90)));
        let untold = [("retry-after", LATER), ("date", "yesterday")];
        assert_eq!(asked(&untold, NOON), Some(Duration::from_secs(90)));
    }

    #[test]
    fn the_three_forms_of_a_date_are_read() {
        for date in [LATER, "Monday, 23-Nov-26 12:01:30 GMT", "Mon Nov 23 12:01:30 2026"] {
            assert_eq!(asked(&[("retry-after", date)], NOON), Some(Duration::from_secs(90)), "{date}");
        }
    }

    #[test]
    fn what_cannot_be_understood_asks_for_nothing() {
        for value in ["", "soon", "-1", "+5", "1.5", "1e3", "0x10", "10 s", "٣"] {
            assert_eq!(asked(&[("retry-after", value)], NOON), None, "{value:?}");
        }
        assert_eq!(asked(&[], NOON), None);
    }
}
