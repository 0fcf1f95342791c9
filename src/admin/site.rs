//! Which requests come from the page itself, and which from a page of another site.

use std::net::IpAddr;

use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, header};

static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
static SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// The hosts that the application has named, in lower case, with their ports.
#[derive(Default)]
pub(super) struct Site {
    hosts: Vec<String>,
}

/// A header that should come once came twice, or is not text.
struct Unclear;

impl Site {
    pub(super) fn add(&mut self, host: &str) {
        self.hosts.push(host.to_ascii_lowercase());
    }

    /// The host that a request names, if it is allowed.
    ///
    /// A page of another site can give its own name the address of this server (DNS rebinding).
    /// For the browser its requests are then of the same origin. So only names count that the
    /// application has named, `localhost`, and addresses, which are not looked up.
    pub(super) fn host(&self, parts: &Parts) -> Option<Authority> {
        let in_header = single(&parts.headers, &header::HOST).ok()?;
        let host = match (parts.uri.authority(), in_header) {
            (Some(authority), None) => authority.clone(),
            (Some(authority), Some(header)) if authority.as_str().eq_ignore_ascii_case(header) => {
                authority.clone()
            }
            (None, Some(header)) => header.parse().ok()?,
            (Some(_), Some(_)) | (None, None) => return None,
        };
        let is_allowed = is_address_or_local(&host) || self.is_named(host.as_str());
        (is_allowed && !host.as_str().contains('@')).then_some(host)
    }

    /// Whether a request that changes something comes from the page, or from a program that is not
    /// a browser.
    ///
    /// Browsers send `Sec-Fetch-Site` over TLS and to this machine. Over plain HTTP in a network
    /// they send only `Origin`, with each POST.
    pub(super) fn may_write(&self, headers: &HeaderMap, host: &Authority) -> bool {
        let Ok(site) = single(headers, &SEC_FETCH_SITE) else { return false };
        let Ok(origin) = single(headers, &header::ORIGIN) else { return false };
        site.is_none_or(|site| site == "same-origin")
            && origin.is_none_or(|origin| self.is_own(origin, host))
    }

    /// Whether a request that reads comes from the page, from a program, or is a person who follows
    /// a link. Another site cannot see what the browser then shows.
    pub(super) fn may_read(headers: &HeaderMap) -> bool {
        let is = |name, words: &[&str]| {
            single(headers, name)
                .is_ok_and(|value| value.is_none_or(|value| words.contains(&value)))
        };
        is(&SEC_FETCH_SITE, &["same-origin", "none"])
            || (headers.contains_key(&SEC_FETCH_MODE) && is(&SEC_FETCH_MODE, &["navigate"]))
    }

    fn is_own(&self, origin: &str, host: &Authority) -> bool {
        let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        authority.is_some_and(|authority| {
            authority.eq_ignore_ascii_case(host.as_str()) || self.is_named(authority)
        })
    }

    fn is_named(&self, host: &str) -> bool {
        self.hosts.iter().any(|named| named.eq_ignore_ascii_case(host))
    }
}

fn is_address_or_local(authority: &Authority) -> bool {
    let host = authority.host();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse::<IpAddr>().is_ok() || host.eq_ignore_ascii_case("localhost")
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Unclear> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| Unclear),
        (Some(_), Some(_)) => Err(Unclear),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use http::Request;

    use super::*;

    fn site() -> Site {
        let mut site = Site::default();
        site.add("Ops.example.com");
        site
    }

    fn parts(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::post(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_host_is_an_address_this_machine_or_named() {
        for host in ["127.0.0.1:3001", "[::1]:3001", "10.0.0.5", "localhost:1", "OPS.example.com"] {
            assert!(site().host(&parts("/", &[("host", host)])).is_some(), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "ops.example.com:8443",
            "ops.example.com.",
            "me@127.0.0.1",
            "",
        ] {
            assert!(site().host(&parts("/", &[("host", host)])).is_none(), "{host}");
        }
    }

    #[test]
    fn the_host_of_the_uri_and_of_the_header_must_agree() {
        let in_uri = "http://ops.example.com/records";
        assert!(site().host(&parts(in_uri, &[])).is_some());
        assert!(site().host(&parts(in_uri, &[("host", "ops.example.com")])).is_some());
        assert!(site().host(&parts(in_uri, &[("host", "127.0.0.1")])).is_none());
        assert!(site().host(&parts("/", &[])).is_none());
        let twice = [("host", "127.0.0.1"), ("host", "127.0.0.1")];
        assert!(site().host(&parts("/", &twice)).is_none());
    }

    #[test]
    fn a_write_comes_from_the_page_or_from_a_program() {
        let may = |host: &str, headers: &[(&str, &str)]| {
            site().may_write(&parts("/", headers).headers, &host.parse().unwrap())
        };
        let (same, own) = (("sec-fetch-site", "same-origin"), ("origin", "http://127.0.0.1:3001"));
        for headers in [&[][..], &[same], &[same, own], &[own]] {
            assert!(may("127.0.0.1:3001", headers), "{headers:?}");
        }
        // Behind a proxy that puts its own host in place.
        assert!(may("127.0.0.1:3001", &[("origin", "https://ops.example.com")]));
        for headers in [
            &[("sec-fetch-site", "cross-site")][..],
            &[("sec-fetch-site", "same-site"), own],
            &[("sec-fetch-site", "none")],
            &[same, ("sec-fetch-site", "cross-site")],
            &[same, ("origin", "http://evil.example")],
            &[("origin", "http://127.0.0.1:3002")],
            &[("origin", "http://127.0.0.1:3001.evil.example")],
            &[("origin", "null")],
            &[own, own],
        ] {
            assert!(!may("127.0.0.1:3001", headers), "{headers:?}");
        }
    }

    #[test]
    fn a_read_is_not_a_part_of_another_page() {
        let may = |headers: &[(&str, &str)]| Site::may_read(&parts("/", headers).headers);
        let cross = ("sec-fetch-site", "cross-site");
        assert!(may(&[]));
        assert!(may(&[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors")]));
        assert!(may(&[("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate")]));
        assert!(may(&[cross, ("sec-fetch-mode", "navigate")]));
        assert!(!may(&[cross]));
        assert!(!may(&[cross, ("sec-fetch-mode", "no-cors")]));
        assert!(!may(&[("sec-fetch-site", "same-site"), ("sec-fetch-mode", "cors")]));
    }
}
