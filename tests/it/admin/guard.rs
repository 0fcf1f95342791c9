//! Which requests are rejected: without an operator, to other hosts, from other sites.

use axum::body::Body;
use http::{HeaderValue, Request};
use serde_json::json;

use super::{HOST, Reply, Site, change_of, get, post};

/// Sends a release of `order` with these headers, in the place of those of the same name.
async fn release(site: &Site, headers: &[(&str, &str)]) -> Reply {
    let body = change_of(&site.record("order").await, json!({})).to_string();
    let path = format!("records/{}/release", site.digits("order"));
    let mut request = post(&path).body(Body::from(body)).unwrap();
    for (name, value) in headers {
        let name: http::HeaderName = name.parse().unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    site.send(request).await
}

async fn is_untouched(site: &Site) {
    let shown = site.found(&format!("records/{}", site.digits("order"))).await;
    assert_eq!((&shown["record"]["state"], &shown["history"]), (&json!("failed"), &json!([])));
}

#[tokio::test]
async fn a_request_without_an_operator_reads_and_writes_nothing() {
    let challenge = HeaderValue::from_static("Basic realm=\"operators\"");
    let challenged = Site::with(|admin| admin.challenge(challenge));
    for (site, status, challenge) in
        [(Site::new(), 403, ""), (challenged, 401, "Basic realm=\"operators\"")]
    {
        site.failed("order").await;
        let digits = site.digits("order");
        let paths = ["", "records", "stats", &format!("records/{digits}")];
        for path in paths {
            let path =
                if path.is_empty() { "/idempotency" } else { &format!("/idempotency/{path}") };
            let request = Request::get(path).header("host", HOST).body(Body::empty()).unwrap();
            let reply = site.send(request).await;
            reply.is_problem(status, "admin_operator_unknown");
            assert_eq!(reply.header("www-authenticate"), challenge);
            assert!(!reply.text.contains(&digits));
        }
        for action in ["release", "settle", "erase"] {
            let body = change_of(&site.record("order").await, json!({})).to_string();
            let request = Request::post(format!("/idempotency/records/{digits}/{action}"))
                .header("host", HOST)
                .header("content-type", "application/json");
            let reply = site.send(request.body(body.into()).unwrap()).await;
            reply.is_problem(status, "admin_operator_unknown");
        }
        is_untouched(&site).await;
    }
}

#[tokio::test]
async fn a_name_that_cannot_be_stored_is_not_an_operator() {
    let site = Site::new();
    site.failed("order").await;
    for name in ["", " ", &"x".repeat(129), "a\tb"] {
        release(&site, &[("x-operator", name)]).await.is_problem(403, "admin_operator_invalid");
    }
    is_untouched(&site).await;
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing() {
    let site = Site::new();
    site.failed("order").await;
    for headers in [
        &[("sec-fetch-site", "cross-site")][..],
        &[("sec-fetch-site", "same-site"), ("origin", "http://127.0.0.1:3001")],
        &[("sec-fetch-site", "none")],
        &[("sec-fetch-site", "same-origin"), ("origin", "http://evil.example")],
        &[("origin", "http://evil.example")],
        &[("origin", "http://127.0.0.1:4000")],
        &[("origin", "null")],
    ] {
        release(&site, headers).await.is_problem(403, "admin_cross_site");
    }
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""] {
        release(&site, &[("content-type", kind)]).await.is_problem(415, "admin_not_json");
    }
    is_untouched(&site).await;
    let own = [("sec-fetch-site", "same-origin"), ("origin", "http://127.0.0.1:3001")];
    assert_eq!(release(&site, &own).await.json()["result"], "applied");
}

#[tokio::test]
async fn a_read_is_not_a_part_of_another_page_and_a_link_may_lead_to_it() {
    let site = Site::new();
    for path in ["records", "stats"] {
        let cross = get(path).header("sec-fetch-site", "cross-site");
        let reply =
            site.send(cross.header("sec-fetch-mode", "no-cors").body(Body::empty()).unwrap());
        reply.await.is_problem(403, "admin_cross_site");
    }
    let link = get("").header("sec-fetch-site", "cross-site").header("sec-fetch-mode", "navigate");
    assert_eq!(site.send(link.body(Body::empty()).unwrap()).await.status, 200);
}

#[tokio::test]
async fn a_name_that_was_given_the_address_of_the_server_is_not_its_host() {
    let site = Site::with(|admin| admin.host("ops.example.com"));
    site.failed("order").await;
    let origin = ("origin", "http://evil.example");
    let rebound = [("host", "evil.example"), origin, ("sec-fetch-site", "same-origin")];
    release(&site, &rebound).await.is_problem(403, "admin_host_not_allowed");
    let read = Request::get("/idempotency/records").header("host", "evil.example:3001");
    let read = read.header("x-operator", "night shift").body(Body::empty()).unwrap();
    site.send(read).await.is_problem(403, "admin_host_not_allowed");
    is_untouched(&site).await;
    let own = [("host", "ops.example.com"), ("origin", "https://ops.example.com")];
    assert_eq!(release(&site, &own).await.json()["result"], "applied");
}

#[tokio::test]
async fn no_response_allows_another_origin_or_sets_a_cookie_and_all_forbid_to_store() {
    let site = Site::new();
    site.failed("order").await;
    let preflight = get("records").method("OPTIONS").header("origin", "http://evil.example");
    let preflight = preflight.header("access-control-request-method", "POST");
    let preflight = site.send(preflight.body(Body::empty()).unwrap()).await;
    preflight.is_problem(405, "admin_method_not_allowed");
    assert_eq!(preflight.header("allow"), "GET,HEAD");
    let rejected = release(&site, &[("x-operator", "")]).await;
    let replies = [
        preflight,
        rejected,
        site.get("").await,
        site.get("records").await,
        site.get("records?state=lost").await,
        release(&site, &[]).await,
    ];
    for reply in replies {
        for name in reply.headers.keys() {
            assert!(!name.as_str().starts_with("access-control"), "{name}");
            assert_ne!(name, "set-cookie");
        }
        assert_eq!(reply.header("cache-control"), "no-store");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert_eq!(reply.header("x-frame-options"), "DENY");
        assert_eq!(reply.header("referrer-policy"), "no-referrer");
        assert_eq!(reply.header("cross-origin-resource-policy"), "same-origin");
        let policy = reply.header("content-security-policy");
        let rules: Vec<_> = policy.split("; ").collect();
        for rule in [
            "default-src 'none'",
            "connect-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'none'",
        ] {
            assert!(rules.contains(&rule), "{rule} is missing from {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
    }
}
