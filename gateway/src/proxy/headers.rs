//! Headers that end at the gateway.

use http::header::{
    CONNECTION, HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, header};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// The headers of one hop (RFC 9110, 7.6.1). `TE` is treated apart.
const OF_ONE_HOP: [HeaderName; 8] = [
    CONNECTION,
    HTTP2_SETTINGS,
    KEEP_ALIVE,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    PROXY_CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// What the header `Connection` cannot name: without it the message would be another one.
const END_TO_END: [HeaderName; 6] = [
    header::AUTHORIZATION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::COOKIE,
    header::HOST,
];

/// Removes what concerns one connection only, and what `Connection` names.
pub(super) fn strip(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        for name in named_by_connection(headers) {
            if !END_TO_END.contains(&name) && !is_of_the_gateway(name.as_str()) && name != TE {
                headers.remove(name);
            }
        }
    }
    remove_if(headers, |name| OF_ONE_HOP.contains(name));
}

/// Removes some headers. Most messages have one of them or none, so this costs less than to look for
/// each by its hash.
pub(super) fn remove_if(headers: &mut HeaderMap, is_meant: impl Fn(&HeaderName) -> bool) {
    while let Some(name) = headers.keys().find(|name| is_meant(name)).cloned() {
        headers.remove(name);
    }
}

/// The same for a request that asks for another protocol: it asks the upstream too.
pub(super) fn strip_to_upgrade(headers: &mut HeaderMap) {
    let protocol = headers.get(UPGRADE).cloned();
    strip(headers);
    if let Some(protocol) = protocol {
        headers.insert(UPGRADE, protocol);
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
}

/// Whether a request asks for a protocol that is not HTTP. In a tunnel of HTTP/2 without TLS a client
/// could send requests that no route guards.
pub(super) fn asks_for_a_tunnel(headers: &HeaderMap) -> bool {
    let is_http = |protocol: &str| {
        let name = protocol.split('/').next().unwrap_or_default();
        ["h2c", "h2", "h3", "http", "tls"].iter().any(|other| name.eq_ignore_ascii_case(other))
    };
    connection_has(headers, "upgrade")
        && options(headers, &UPGRADE).next().is_some()
        && !options(headers, &UPGRADE).any(is_http)
}

/// Writes a length in one way: some servers read zeros before it as octal.
pub(super) fn write_length(headers: &mut HeaderMap) {
    let Some(length) = headers.get(header::CONTENT_LENGTH) else { return };
    let number = length.to_str().ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(number) = number.filter(|_| length.as_bytes().starts_with(b"0")) {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(number));
    }
}

/// Whether `Connection` has this option.
pub(super) fn connection_has(headers: &HeaderMap, option: &str) -> bool {
    options(headers, &CONNECTION).any(|found| found.eq_ignore_ascii_case(option))
}

/// Whether the client reads trailers.
pub(super) fn accepts_trailers(headers: &HeaderMap) -> bool {
    options(headers, &TE).any(|found| found.eq_ignore_ascii_case("trailers"))
}

fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    options(headers, &CONNECTION).filter_map(|name| name.parse().ok()).collect()
}

fn options<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|option| !option.is_empty())
}

/// Whether the gateway alone may say what this header says. A server in front of Python or PHP reads
/// `_` and `-` as one, so `X_Idempotency_Attempt` counts too.
pub(crate) fn is_reserved(name: &str) -> bool {
    let is_written = |expected: &str| {
        let same = |(a, b): (u8, u8)| a == b || (a == b'_' && b == b'-');
        name.len() >= expected.len() && name.bytes().zip(expected.bytes()).all(same)
    };
    let is_key = name == "x-idempotency-key";
    (is_written("x-idempotency-") && !is_key)
        || (name.contains('_')
            && (is_written("x-forwarded-")
                || is_written("idempotency-key")
                || name.len() == "x_real_ip".len() && is_written("x-real-ip")))
}

/// Whether the meaning of a request depends on this header here.
fn is_of_the_gateway(name: &str) -> bool {
    name.starts_with("x-idempotency-") || name.starts_with("x-forwarded-") || name == "forwarded"
}

/// Removes what a client cannot say.
pub(super) fn remove_reserved(headers: &mut HeaderMap) {
    if headers.keys().any(|name| is_reserved(name.as_str())) {
        let names: Vec<_> =
            headers.keys().filter(|name| is_reserved(name.as_str())).cloned().collect();
        for name in names {
            headers.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn headers_of_one_hop_and_those_that_connection_names_are_removed() {
        let mut headers = of(&[
            ("connection", "close, X-Hop , te"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("x-end", "1"),
        ]);
        strip(&mut headers);
        assert_eq!(headers, of(&[("te", "trailers"), ("x-end", "1")]));
    }

    #[test]
    fn connection_cannot_name_what_makes_the_message() {
        let pairs = [
            ("authorization", "token"),
            ("content-length", "5"),
            ("host", "a"),
            ("x-forwarded-for", "192.0.2.1"),
            ("x-idempotency-key", "k"),
        ];
        let mut headers = of(&pairs);
        let named = "authorization, content-length, host, x-forwarded-for, x-idempotency-key";
        headers.insert(CONNECTION, HeaderValue::from_static(named));
        strip(&mut headers);
        assert_eq!(headers, of(&pairs));
    }

    #[test]
    fn the_gateway_alone_speaks_of_attempts() {
        for name in [
            "x-idempotency-attempt",
            "x_idempotency_attempt",
            "x-idempotency_in-doubt",
            "x_idempotency_key",
            "x-idempotency_key",
            "idempotency_key",
            "x_forwarded_for",
            "x_real_ip",
        ] {
            assert!(is_reserved(name), "{name}");
        }
        for name in ["x-idempotency-key", "idempotency-key", "x-forwarded-for", "x_my_header", "x"]
        {
            assert!(!is_reserved(name), "{name}");
        }
    }
}
