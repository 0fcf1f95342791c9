use hyper::StatusCode;

use super::client::Client;
use super::program::{Folder, Gateway};
use super::site::Upstream;

fn config(upstream: &str) -> String {
    format!(
        r#"
        upstream = "{upstream}"
        store = "memory"
        log = {{ level = "debug" }}
        [operators]
        listen = "127.0.0.1:0"
        [[route]]
        path = "/payments/{{*rest}}"
        scope = {{ header = "authorization" }}
        [[route]]
        path = "/nowhere"
        scope = "everyone"
        methods = ["POST"]
        upstream = "http://127.0.0.1:9"
        "#
    )
}

#[tokio::test]
async fn the_gateway_counts_requests_by_route() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Folder::new(), &config(&upstream.url));
    let client = Client::plain();
    let caller = [("authorization", "Basic c2VzYW1l")];
    for key in ["1", "2", "1"] {
        assert_eq!(client.pay(&gateway.url, key, &caller).await.status, StatusCode::CREATED);
    }
    let none = client.pay(&gateway.url, "1", &[]).await;
    assert_eq!(none.status, StatusCode::UNAUTHORIZED);
    for path in ["/a", "/b?c=d"] {
        client.get(&format!("{}{path}", gateway.url)).await;
    }
    let nowhere = format!("{}/nowhere", gateway.url);
    let failed = client.post(&nowhere, "1").await;
    assert_eq!(failed.status, StatusCode::BAD_GATEWAY);
    // Unfollowed, because it is not a file of a gateway.
    gateway.folder.write("gateway.toml", "listen = 1");
    gateway.wait_for_log("the settings before it stay", 1);

    let operators = gateway.operators.as_ref().unwrap();
    let text = client.get(&format!("{operators}/metrics")).await.text;
    for expected in [
        r#"requests_total{route="/payments/{*rest}",status="2xx"} 3"#,
        r#"requests_total{route="/payments/{*rest}",status="4xx"} 1"#,
        r#"requests_total{route="/nowhere",status="5xx"} 1"#,
        r#"requests_total{route="unguarded",status="2xx"} 2"#,
        r#"upstream_seconds_count{route="/payments/{*rest}"} 2"#,
        r#"upstream_seconds_count{route="unguarded"} 2"#,
        r#"upstream_failures_total{code="upstream_unreachable"} 1"#,
        "connections 1",
        "tunnels 0",
        "reloads_total 0",
        "reload_failures_total 1",
        "jwks_failures_total 0",
    ] {
        let line = format!("\nidempotency_gateway_{expected}\n");
        assert!(text.contains(&line), "{expected} is missing:\n{text}");
    }
    for line in text.lines().filter(|line| line.starts_with("# TYPE idempotency_gateway_")) {
        let name = line.split(' ').nth(2).unwrap();
        assert!(text.contains(&format!("# HELP {name} ")), "{name} is not described");
    }
}

#[tokio::test]
async fn a_log_line_for_a_request_contains_no_secret() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(Folder::new(), &config(&upstream.url));
    let headers = [("authorization", "Bearer marker-credential"), ("cookie", "a=marker-cookie")];
    for client in [Client::plain(), Client::plain_http2()] {
        let response = client.pay(&gateway.url, "marker-key", &headers).await;
        assert_eq!(response.status, StatusCode::CREATED);
        client.get(&format!("{}/other?a=marker-query", gateway.url)).await;
    }
    gateway.wait_for_log("a request", 4);
    let log = gateway.log();
    let line = log.lines().find(|line| line.contains("a request")).unwrap();
    for expected in ["method=POST", "path=\"/payments\"", "/payments/{*rest}", "status=201"] {
        assert!(line.contains(expected), "{expected}: {line}");
    }
    assert!(!log.contains("marker"), "{log}");
}
