//! Who the client is, as the upstream is told.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName, HeaderValue};

use super::headers::remove_if;
use crate::file::Forwarded;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Whether only proxies say it. Frameworks know more of them than are sent here, such as
/// `X-Forwarded-Ssl` and `X-Forwarded-Scheme`.
fn is_said_by_proxies(name: &HeaderName) -> bool {
    name == FORWARDED || name == REAL_IP || name.as_str().starts_with("x-forwarded-")
}

/// The other end of the connection that a request came on.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    pub(crate) is_tls: bool,
    /// Its address, as the upstream is told.
    name: HeaderValue,
}

impl Client {
    pub(crate) fn new(address: SocketAddr, is_tls: bool) -> Self {
        let name = HeaderValue::try_from(address.ip().to_canonical().to_string());
        // An address has only visible ASCII characters.
        let name = name.unwrap_or(HeaderValue::from_static("unknown"));
        Self { address, is_tls, name }
    }

    fn proto(&self) -> &'static str {
        if self.is_tls { "https" } else { "http" }
    }
}

/// Which proxies are trusted, and which headers the upstream gets.
#[derive(Debug, Clone)]
pub(crate) struct Rules(Forwarded);

impl Rules {
    pub(crate) fn new(forwarded: Forwarded) -> Self {
        Self(forwarded)
    }

    /// Replaces what a client has said of itself, and adds what this connection says. Of proxies
    /// that are trusted, what they have said stays.
    pub(super) fn apply(
        &self,
        headers: &mut HeaderMap,
        client: &Client,
        host: Option<&HeaderValue>,
    ) {
        let Forwarded { trusted_hops, x_forwarded, forwarded } = self.0;
        let (chain, elements) = if trusted_hops == 0 {
            remove_if(headers, is_said_by_proxies);
            (Vec::new(), Vec::new())
        } else {
            let found =
                (last(headers, &FOR, trusted_hops), last(headers, &FORWARDED, trusted_hops));
            headers.remove(FOR);
            headers.remove(FORWARDED);
            found
        };
        if x_forwarded {
            append(headers, FOR, &chain, &client.name);
            let proto = HeaderValue::from_static(client.proto());
            headers.entry(PROTO).or_insert(proto);
            if let Some(host) = host {
                headers.entry(HOST).or_insert(host.clone());
            }
        }
        if forwarded {
            let element = element(client.address.ip().to_canonical(), client.proto(), host);
            if let Ok(element) = HeaderValue::try_from(element) {
                append(headers, FORWARDED, &elements, &element);
            }
        }
    }
}

/// The last `count` elements of a header that is a list.
fn last(headers: &HeaderMap, name: &HeaderName, count: usize) -> Vec<String> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    let elements: Vec<_> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
    elements[elements.len().saturating_sub(count)..].iter().map(ToString::to_string).collect()
}

fn append(headers: &mut HeaderMap, name: HeaderName, before: &[String], element: &HeaderValue) {
    if before.is_empty() {
        headers.insert(name, element.clone());
        return;
    }
    let mut list = before.join(", ").into_bytes();
    list.extend_from_slice(b", ");
    list.extend_from_slice(element.as_bytes());
    if let Ok(value) = HeaderValue::from_bytes(&list) {
        headers.insert(name, value);
    }
}

/// One element of `Forwarded` (RFC 7239, 4).
fn element(address: IpAddr, proto: &str, host: Option<&HeaderValue>) -> String {
    let mut element = match address {
        IpAddr::V4(address) => format!("for={address}"),
        IpAddr::V6(address) => format!("for=\"[{address}]\""),
    };
    let host = host.and_then(|value| value.to_str().ok());
    for (name, value) in [("host", host), ("proto", Some(proto))] {
        if let Some(value) = value {
            // A host may have a colon, which needs quotes. Quotes and backslashes are in none.
            let value: String = value.chars().filter(|c| !matches!(c, '"' | '\\')).collect();
            // Writing to a String cannot fail.
            let _ = write!(element, ";{name}=\"{value}\"");
        }
    }
    element
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn applied(rules: Forwarded, before: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in before {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let client = Client::new("192.0.2.9:5000".parse().unwrap(), true);
        let host = HeaderValue::from_static("shop.example:8443");
        Rules::new(rules).apply(&mut headers, &client, Some(&host));
        headers
    }

    #[test]
    fn a_client_is_not_believed() {
        let headers = applied(
            Forwarded::default(),
            &[
                ("x-forwarded-for", "203.0.113.1"),
                ("x-forwarded-proto", "ftp"),
                ("x-real-ip", "203.0.113.1"),
                ("x-forwarded-ssl", "on"),
                ("forwarded", "for=203.0.113.1"),
            ],
        );
        assert_eq!(headers["x-forwarded-for"], "192.0.2.9");
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["x-forwarded-host"], "shop.example:8443");
        assert!(!headers.contains_key("x-forwarded-ssl"));
        assert!(!headers.contains_key("x-real-ip") && !headers.contains_key("forwarded"));
    }

    #[test]
    fn so_many_hops_are_believed_as_are_trusted() {
        let rules = Forwarded { trusted_hops: 1, x_forwarded: true, forwarded: true };
        let headers = applied(
            rules,
            &[
                ("x-forwarded-for", "203.0.113.66, 198.51.100.1"),
                ("x-forwarded-for", "198.51.100.2"),
                ("x-forwarded-proto", "http"),
                ("forwarded", "for=203.0.113.66, for=198.51.100.2"),
            ],
        );
        assert_eq!(headers["x-forwarded-for"], "198.51.100.2, 192.0.2.9");
        assert_eq!(headers["x-forwarded-proto"], "http");
        let expected = "for=198.51.100.2, for=192.0.2.9;host=\"shop.example:8443\";proto=\"https\"";
        assert_eq!(headers["forwarded"], expected);
    }

    #[test]
    fn an_address_of_ipv6_is_quoted() {
        assert_eq!(
            element("2001:db8::1".parse().unwrap(), "http", None),
            "for=\"[2001:db8::1]\";proto=\"http\""
        );
    }
}
