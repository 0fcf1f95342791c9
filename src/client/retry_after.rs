//! `Retry-After`, by RFC 9110, section 10.2.3.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, header};

/// How long a response asks to wait: seconds, or the time until a date.
///
/// The wait until a date counts from the `Date` of the response, if it has one. So a client with a
/// wrong clock does not wait longer than others. `None` if the value is neither seconds nor a date.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let asked = text(headers.get(header::RETRY_AFTER)?)?;
    if !asked.is_empty() && asked.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number that overflows means the longest time.
        return Some(Duration::from_secs(asked.parse().unwrap_or(u64::MAX)));
    }
    let until = httpdate::parse_http_date(asked).ok()?;
    let sent = headers
        .get(header::DATE)
        .and_then(text)
        .and_then(|date| httpdate::parse_http_date(date).ok());
    // A date in the past means no wait.
    Some(until.duration_since(sent.unwrap_or(now)).unwrap_or_default())
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
        let fields =
            fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
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
    fn a_date_counts_from_the_date_of_the_response_and_else_from_the_clock() {
        assert_eq!(asked(&[("retry-after", LATER)], NOON), Some(Duration::from_secs(90)));
        assert_eq!(asked(&[("retry-after", NOON)], LATER), Some(Duration::ZERO));
        let dated = [("retry-after", LATER), ("date", NOON)];
        assert_eq!(asked(&dated, "Fri, 01 Jan 1999 00:00:00 GMT"), Some(Duration::from_secs(90)));
        let undated = [("retry-after", LATER), ("date", "yesterday")];
        assert_eq!(asked(&undated, NOON), Some(Duration::from_secs(90)));
    }

    #[test]
    fn the_three_forms_of_a_date_are_read() {
        for date in [LATER, "Monday, 23-Nov-26 12:01:30 GMT", "Mon Nov 23 12:01:30 2026"] {
            assert_eq!(
                asked(&[("retry-after", date)], NOON),
                Some(Duration::from_secs(90)),
                "{date}"
            );
        }
    }

    #[test]
    fn a_malformed_value_is_ignored() {
        for value in ["", "soon", "-1", "+5", "1.5", "1e3", "0x10", "10 s", "٣"] {
            assert_eq!(asked(&[("retry-after", value)], NOON), None, "{value:?}");
        }
        assert_eq!(asked(&[], NOON), None);
    }
}
