//! Whether the network between this process and Redis is protected, as the address says.

use std::net::IpAddr;

use redis::{ConnectionAddr, ConnectionInfo};

use super::super::url::Target;
use crate::store::check::{CheckItem, TLS};

/// `None` under Sentinel, because the sentinels name the server.
pub(super) fn seen(target: &Target) -> Option<CheckItem> {
    let servers = match target {
        Target::Server(server) => std::slice::from_ref(server),
        Target::Cluster(servers) => servers,
        Target::Sentinel(_) => return None,
    };
    let all = |is: fn(&ConnectionAddr) -> bool| servers.iter().map(ConnectionInfo::addr).all(is);
    let (is_fine, found) = if all(is_verified) {
        (true, "on")
    } else if all(is_tls) {
        (false, "on, but the certificate of the server is not verified")
    } else if all(is_local) {
        (true, "off, and the connection stays on this machine")
    } else {
        (false, "off")
    };
    let tls = TLS.remedy("use `rediss://` (feature `redis-tls-rustls`)");
    Some(tls.found(is_fine, found))
}

fn is_tls(address: &ConnectionAddr) -> bool {
    matches!(address, ConnectionAddr::TcpTls { .. })
}

fn is_verified(address: &ConnectionAddr) -> bool {
    matches!(address, ConnectionAddr::TcpTls { insecure: false, .. })
}

fn is_local(address: &ConnectionAddr) -> bool {
    match address {
        ConnectionAddr::Unix(_) => true,
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => {
            let ip = host.trim_matches(['[', ']']).parse::<IpAddr>();
            host.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.is_loopback())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::store::CheckResult;

    #[track_caller]
    fn assert_seen(url: &str, result: CheckResult, found: &str) {
        let item = seen(&Target::parse(url).unwrap()).unwrap();
        assert_eq!((item.result, &*item.found), (result, found), "{url}");
    }

    #[test]
    fn a_connection_that_stays_on_this_machine_needs_no_tls() {
        let local = "off, and the connection stays on this machine";
        for url in [
            "redis://localhost",
            "redis://127.0.0.1:7101/3",
            "redis://[::1]:7101",
            "redis+unix:///run/redis.sock",
            "redis+cluster://127.0.0.1:7101,127.0.0.2:7102",
        ] {
            assert_seen(url, CheckResult::Passed, local);
        }
        assert_seen("redis://10.0.0.1", CheckResult::Open, "off");
        assert_seen("redis+cluster://127.0.0.1,10.0.0.1", CheckResult::Open, "off");
        assert!(seen(&Target::parse("redis+sentinel://127.0.0.1/main").unwrap()).is_none());
    }

    #[cfg(feature = "redis-tls-rustls")]
    #[test]
    fn tls_counts_if_the_certificate_is_verified() {
        assert_seen("rediss://10.0.0.1", CheckResult::Passed, "on");
        let unverified = "on, but the certificate of the server is not verified";
        assert_seen("rediss://10.0.0.1/#insecure", CheckResult::Open, unverified);
    }
}
