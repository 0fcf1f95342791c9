use axum::body::Body;
use serde_json::json;

use super::server::{Sandbox, SandboxResponse, order};

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// Every file of the page, and what it is.
const FILES: [(&str, &str); 16] = [
    ("/", "text/html; charset=utf-8"),
    ("/page.css", "text/css; charset=utf-8"),
    ("/page.js", JAVASCRIPT),
    ("/page/calls.js", JAVASCRIPT),
    ("/page/client.js", JAVASCRIPT),
    ("/page/curious.js", JAVASCRIPT),
    ("/page/ledger.js", JAVASCRIPT),
    ("/page/meaning.js", JAVASCRIPT),
    ("/page/naive.js", JAVASCRIPT),
    ("/page/network.js", JAVASCRIPT),
    ("/page/orders.js", JAVASCRIPT),
    ("/page/results.js", JAVASCRIPT),
    ("/page/tables.js", JAVASCRIPT),
    ("/page/view.js", JAVASCRIPT),
    ("/page/words.js", JAVASCRIPT),
    ("/tower-idempotency.js", JAVASCRIPT),
];

#[tokio::test]
async fn each_file_of_the_page_says_what_it_is_and_what_it_may_do() {
    let sandbox = Sandbox::start(&[]).await;
    for (path, content_type) in FILES {
        let response = sandbox.get(path).await;
        assert_eq!(response.status, 200, "{path}");
        assert_eq!(response.header("content-type"), Some(content_type), "{path}");
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(response.header("cache-control"), Some("no-cache"), "{path}");
        assert_eq!(response.header("referrer-policy"), Some("no-referrer"), "{path}");
        let policy = response.header("content-security-policy").expect("no policy");
        let rules: Vec<_> = policy.split("; ").collect();
        for rule in
            ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"]
        {
            assert!(rules.contains(&rule), "{path}: {rule} is missing from {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{path}: {policy}");
        assert_eq!(response.header("set-cookie"), None, "{path}");
    }
}

#[tokio::test]
async fn the_page_asks_for_its_own_files_and_no_others() {
    let sandbox = Sandbox::start(&[]).await;
    let mut asked = vec!["/".to_owned()];
    for (path, _) in FILES {
        let text = text(&sandbox.get(path).await);
        asked.extend(named(&text, "href=\"").filter(|name| !name.starts_with("data:")));
        asked.extend(named(&text, "src=\""));
        asked.extend(named(&text, " from \""));
    }
    asked.sort();
    asked.dedup();
    assert_eq!(asked, FILES.map(|(path, _)| path));
}

#[tokio::test]
async fn no_file_of_the_page_names_another_host() {
    let sandbox = Sandbox::start(&[]).await;
    for (path, _) in FILES {
        let text = text(&sandbox.get(path).await);
        for host in
            ["http://", "https://", "ws://", "wss://", "\"//", "'//", "(//", "@import", "url("]
        {
            assert!(!text.contains(host), "{path} has {host}");
        }
    }
}

#[tokio::test]
async fn the_page_runs_no_script_and_no_style_of_its_markup() {
    let sandbox = Sandbox::start(&[]).await;
    let html = text(&sandbox.get("/").await);
    assert!(!html.contains("<style") && !html.contains(" style="), "the policy would not let it");
    assert_eq!(
        html.matches("<script").count(),
        html.matches("<script type=\"module\" src=\"/").count()
    );
    for (path, _) in FILES.into_iter().filter(|(path, _)| path.starts_with("/page")) {
        let script = text(&sandbox.get(path).await);
        // What a server says is text, never markup.
        for way in
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("]
        {
            assert!(!script.contains(way), "{path} has {way}");
        }
    }
}

#[tokio::test]
async fn the_page_is_not_guarded_and_takes_no_orders() {
    let sandbox = Sandbox::start(&["--require-key"]).await;
    for (path, _) in FILES {
        // The guard would ask for a key.
        let response = sandbox.send(sandbox.json(path), order().to_string()).await;
        assert_eq!(response.status, 405, "{path}");
        let head = sandbox.request("HEAD", path);
        let response = sandbox.send(head, Body::empty()).await;
        assert_eq!(response.status, 200, "{path}");
        assert!(response.body.is_empty(), "{path}");
    }
    assert!(sandbox.effects().await.is_empty());
}

#[tokio::test]
async fn the_settings_say_what_a_client_of_this_server_has_to_know() {
    let sandbox = Sandbox::start(&[]).await;
    let response = sandbox.get("/settings").await;
    assert_eq!(
        (response.status.as_u16(), response.header("cache-control")),
        (200, Some("no-store"))
    );
    let defaults = json!({
        "profile": "default", "max_response": 1 << 20, "retention_ms": 86_400_000,
        "docs": "https://docs.rs/tower-idempotency",
    });
    assert_eq!(response.json(), defaults);

    for profile in ["ietf", "stripe"] {
        let flags = ["--profile", profile, "--max-response", "10", "--retention", "5m"];
        let settings = Sandbox::start(&flags).await.get("/settings").await.json();
        assert_eq!(settings["profile"], profile);
        assert_eq!(
            (&settings["max_response"], &settings["retention_ms"]),
            (&json!(10), &json!(300_000))
        );
    }
}

fn text(response: &SandboxResponse) -> String {
    String::from_utf8(response.body.to_vec()).unwrap()
}

/// The quoted text after each occurrence of `before`.
fn named<'a>(text: &'a str, before: &'a str) -> impl Iterator<Item = String> + 'a {
    text.split(before).skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned)
}
