use redis::ConnectionAddr;

use super::*;

fn rejected(url: &str) -> String {
    let Err(error) = Target::parse(url) else {
        panic!("{url} was taken");
    };
    let said = format!("{error} {error:?}");
    assert!(!said.contains("hunter"), "{said}");
    error.to_string()
}

fn addresses(infos: &[ConnectionInfo]) -> Vec<String> {
    infos.iter().map(|info| info.addr().to_string()).collect()
}

fn cluster(url: &str) -> Vec<ConnectionInfo> {
    match Target::parse(url) {
        Ok(Target::Cluster(servers)) => servers,
        _ => panic!("{url} is a cluster"),
    }
}

fn sentinel(url: &str) -> Sentinels {
    match Target::parse(url) {
        Ok(Target::Sentinel(sentinels)) => sentinels,
        _ => panic!("{url} is of sentinels"),
    }
}

#[test]
fn one_server_is_what_the_driver_takes_for_one() {
    let urls = [
        "redis://127.0.0.1",
        "redis://me:secret@127.0.0.1:7000/3",
        "redis://[::1]:7000",
        "valkey://127.0.0.1",
        #[cfg(unix)]
        "unix:///run/redis.sock",
        #[cfg(unix)]
        "redis+unix:///run/redis.sock?db=3",
        #[cfg(unix)]
        "valkey+unix:///run/valkey.sock",
    ];
    for url in urls {
        assert!(matches!(Target::parse(url), Ok(Target::Server(_))), "{url}");
    }
}

#[test]
fn a_list_may_be_one_of_valkey() {
    assert_eq!(
        addresses(&cluster("valkey+cluster://10.0.0.1:7000,10.0.0.2")),
        ["10.0.0.1:7000", "10.0.0.2:6379"]
    );
    assert_eq!(
        addresses(sentinel("valkey+sentinel://10.0.0.1/orders").sentinels()),
        ["10.0.0.1:26379"]
    );
}

#[test]
fn a_cluster_is_a_list_of_servers_with_the_same_credentials() {
    let servers = cluster("redis+cluster://me:s%40fe@10.0.0.1:7000,shop.example,[::1]:7002/");
    assert_eq!(addresses(&servers), ["10.0.0.1:7000", "shop.example:6379", "::1:7002"]);
    for server in servers {
        let settings = server.redis_settings();
        assert_eq!((settings.username(), settings.password()), (Some("me"), Some("s@fe")));
        assert_eq!(settings.protocol(), ProtocolVersion::RESP3);
    }
}

#[test]
fn the_protocol_is_resp3_unless_the_url_says_another() {
    let protocol = |url: &str| match Target::parse(url) {
        Ok(Target::Server(info)) => info.redis_settings().protocol(),
        Ok(Target::Cluster(servers)) => servers[0].redis_settings().protocol(),
        Ok(Target::Sentinel(sentinels)) => sentinels.settings().protocol(),
        Err(error) => panic!("{url}: {error:?}"),
    };
    let urls = [
        "redis://127.0.0.1",
        "redis://127.0.0.1/3",
        #[cfg(unix)]
        "unix:///run/redis.sock",
        "redis+cluster://10.0.0.1:7000,10.0.0.2",
        "redis+sentinel://me:secret@10.0.0.1/orders/2",
    ];
    for url in urls {
        assert_eq!(protocol(url), ProtocolVersion::RESP3, "{url}");
        for (said, read) in [
            ("resp2", ProtocolVersion::RESP2),
            ("2", ProtocolVersion::RESP2),
            ("resp3", ProtocolVersion::RESP3),
            ("3", ProtocolVersion::RESP3),
        ] {
            assert_eq!(protocol(&format!("{url}?protocol={said}")), read, "{url} {said}");
        }
        assert!(!rejected(&format!("{url}?protocol=resp4")).is_empty());
    }
    #[cfg(unix)]
    assert_eq!(
        protocol("redis+unix:///run/redis.sock?db=3&protocol=resp2"),
        ProtocolVersion::RESP2
    );
}

#[test]
fn credentials_in_a_url_of_sentinels_are_for_the_servers() {
    let found = sentinel("redis+sentinel://me:secret@10.0.0.1,10.0.0.2:5000/orders/2");
    assert_eq!(addresses(found.sentinels()), ["10.0.0.1:26379", "10.0.0.2:5000"]);
    assert!(
        found.sentinels().iter().all(|sentinel| sentinel.redis_settings().password().is_none())
    );
    assert_eq!(
        (found.settings().username(), found.settings().password()),
        (Some("me"), Some("secret"))
    );
    assert_eq!((found.group(), found.db()), ("orders", 2));
    assert_eq!(sentinel("redis+sentinel://10.0.0.1/orders").db(), 0);
}

#[test]
fn tls_is_a_matter_of_the_scheme() {
    for scheme in ["rediss", "valkeys"] {
        // Without the feature, another crate may have asked for TLS.
        if has_tls() {
            let target = Target::parse(&format!("{scheme}+cluster://10.0.0.1:7000"));
            let Ok(Target::Cluster(servers)) = target else { panic!("{scheme}") };
            assert!(matches!(servers[0].addr(), ConnectionAddr::TcpTls { .. }));
            continue;
        }
        for rest in ["+cluster://:hunter2@10.0.0.1:7000", "://:hunter2@10.0.0.1"] {
            let reason = rejected(&format!("{scheme}{rest}"));
            assert!(reason.contains("the feature `redis-tls-rustls`"), "{reason}");
        }
    }
    assert!(has_tls() || cfg!(not(feature = "redis-tls-rustls")));
}

#[test]
fn a_wrong_url_is_rejected_with_a_reason_and_without_its_password() {
    let wrong = [
        ("redis+cluster://", "HOST:PORT"),
        ("redis+cluster://10.0.0.1:7000,,10.0.0.2", "HOST:PORT"),
        ("redis+cluster://:hunter2@10.0.0.1:port", "the port `port` is not a number"),
        ("redis+cluster://:hunter2,10.0.0.1", "the port is not a number"),
        ("redis+cluster://hunter2%ff@10.0.0.1:7000", "percent-encoded"),
        ("redis+cluster://:hunter2@10.0.0.1:7000/1", "database"),
        ("redis+cluster://:hunter2@10.0.0.1:7000/orders", "database"),
        ("redis+cluster://:hunter2@10.0.0.1:7000?a=b", "`?`"),
        ("redis+cluster://:hunter2@10.0.0.1:7000?a=b?protocol=resp2", "`?`"),
        ("redis+cluster://:hunter2@10.0.0.1:7000?protocol=resp4", "neither `protocol=resp2`"),
        ("redis+cluster://me:hunter/2@10.0.0.1:7000", "`/`"),
        ("redis+cluster://me:hunter?2@10.0.0.1:7000", "`?`"),
        ("redis+sentinel://:hunter2@10.0.0.1:7000", "name"),
        ("redis+sentinel://:hunter2@10.0.0.1:7000/", "name"),
        ("redis+sentinel://:hunter2@/orders", "HOST:PORT"),
        ("redis+sentinel://:hunter2@10.0.0.1/orders/two", "number"),
        ("redis+sentinel://:hunter2@10.0.0.1/orders/-1", "number"),
        ("redis+sentinel://:hunter2@10.0.0.1/orders/1/2", "too much"),
        ("redis+proxy://:hunter2@10.0.0.1", "the scheme `redis+proxy://`"),
        ("rediss+unix:///run/redis.sock?pass=hunter2", ""),
        ("http+cluster://:hunter2@10.0.0.1", "the scheme `http+cluster://`"),
        ("redis://:hunter2@127.0.0.1:port", "the port `port` is not a number"),
        ("redis://127.0.0.1:7101O", "the port `7101O` is not a number from 1 to 65535"),
        ("redis://127.0.0.1:65536", "the port `65536` is not a number from 1 to 65535"),
        ("redis://user:hunter2", "the port is not a number"),
        ("redis://:hunter2", "the port is not a number"),
        ("redis://127.0.0.1/abc", "the database `abc` is not a number"),
        ("redis://:hunter2@127.0.0.1/two", "the database `two` is not a number"),
        ("redis://::1:6379", "brackets"),
        ("redis://0.0.0.0:6379", "0.0.0.0 is not an address to connect to"),
        ("redis://me:hunter/2@127.0.0.1", "%2F"),
        ("redis://me:hunter#2@127.0.0.1", "%2F"),
        ("redis://me:12/hunter2@127.0.0.1", "%2F"),
        ("redis://me:12?hunter2@127.0.0.1", "%2F"),
        ("redis://127.0.0.1?protocol=3.5", "`protocol=resp2`"),
        ("redis://", "there is no host"),
        ("redis://me:hunter2@", "there is no host"),
        (
            "reddis://127.0.0.1:7101",
            "the scheme `reddis://` is not one of Redis, which are `redis://`",
        ),
        ("http://:hunter2@127.0.0.1", "the scheme `http://`"),
        ("hunter2@x://127.0.0.1", "does not begin with a scheme"),
        (":hunter2@127.0.0.1", "the URL has no scheme: it is like `redis://"),
        ("127.0.0.1:7101", "the URL has no scheme: it is like `redis://"),
        ("", "the URL is empty: it is like `redis://"),
    ];
    for (url, word) in wrong {
        let reason = rejected(url);
        assert!(reason.contains(word), "{url}: {reason}");
        assert!(reason.len() < 330, "{url}: {reason}");
    }
}

#[test]
fn an_empty_list_is_rejected() {
    assert!(Target::sentinel(Vec::new(), "orders", RedisConnectionInfo::default()).is_err());
    assert!(Target::cluster(Vec::new()).is_err());
}
