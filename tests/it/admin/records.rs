//! Lists, records with their histories, and statistics.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::Site;

fn states(page: &Value) -> BTreeSet<&str> {
    let records = page["records"].as_array().unwrap();
    records.iter().map(|record| record["state"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_list_has_the_records_that_pass_its_parameters() {
    let site = Site::new();
    site.plant().await;
    let scope = site.record("paid").await["scope"].as_str().unwrap().to_owned();
    let digits = &site.digits("paid")[..16];
    let all = ["abandoned", "failed", "in-flight", "not-retained", "success"];
    for (query, expected) in [
        ("", &all[..]),
        ("?state=stuck", &["abandoned", "failed", "not-retained"]),
        ("?state=in-doubt", &["abandoned", "failed"]),
        ("?state=in-flight", &["in-flight"]),
        ("?route=POST+/payments", &all),
        ("?route=POST%20/refunds", &[]),
        ("?namespace=payments&state=success", &["success"]),
        ("?namespace=other", &[]),
        (&format!("?scope={scope}"), &all),
        (&format!("?scope={}", "0".repeat(32)), &[]),
        (&format!("?digits={digits}"), &["success"]),
        (&format!("?digits={}", digits.to_uppercase()), &["success"]),
        ("?older_than_seconds=0", &all),
        ("?older_than_seconds=3600.5", &[]),
    ] {
        let page = site.found(&format!("records{query}")).await;
        assert_eq!(states(&page), expected.iter().copied().collect(), "{query}");
        assert_eq!(page["next"], Value::Null, "{query}");
    }
}

#[tokio::test(start_paused = true)]
async fn pages_have_each_record_once_in_the_order_that_is_asked_for() {
    let site = Site::new();
    for number in 0..7 {
        site.failed(&format!("order-{number}")).await;
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    let mut lists = Vec::new();
    for order in ["oldest", "newest"] {
        let (mut keys, mut after) = (Vec::new(), String::new());
        loop {
            let page = site.found(&format!("records?limit=3&order={order}{after}")).await;
            let records = page["records"].as_array().unwrap();
            assert!(records.len() <= 3);
            keys.extend(records.iter().map(|record| record["key"].as_str().unwrap().to_owned()));
            let Some(next) = page["next"].as_str() else { break };
            after = format!("&after={next}");
        }
        lists.push(keys);
    }
    let planted: Vec<_> = (0..7).map(|number| site.digits(&format!("order-{number}"))).collect();
    assert_eq!(lists[0], planted);
    lists[1].reverse();
    assert_eq!(lists[1], planted);
}

#[tokio::test]
async fn a_record_has_what_an_operator_looks_for_and_nothing_of_its_response() {
    let site = Site::new();
    site.plant().await;
    let shown = site.found(&format!("records/{}", site.digits("paid"))).await;
    let mut record = shown["record"].clone();
    assert_eq!(shown["response_headers"], 1);
    assert_eq!((&shown["unreadable"], &shown["history"]), (&Value::Null, &json!([])));
    for time in ["reserved_seconds_ago", "changed_seconds_ago", "expires_in_seconds"] {
        let seconds = record.as_object_mut().unwrap().remove(time).unwrap();
        assert!((0.0..=3600.0).contains(&seconds.as_f64().unwrap()), "{time}: {seconds}");
    }
    assert_eq!(record["token"].as_str().unwrap().len(), 32);
    assert_eq!(record["scope"].as_str().unwrap().len(), 32);
    let expected = json!({
        "key": site.digits("paid"), "state": "success", "in_doubt": false, "attempt": 1,
        "token": record["token"], "namespace": "payments", "route": "POST /payments",
        "scope": record["scope"], "status": 201, "not_retained": null, "packed": false,
        "bytes": record["bytes"],
    });
    assert_eq!(record, expected);
    assert!(record["bytes"].as_u64().unwrap() >= 11);

    let large = site.record("large").await;
    assert_eq!((&large["status"], &large["not_retained"]), (&json!(201), &json!("too large")));
    let failed = site.record("failed").await;
    assert_eq!((&failed["status"], &failed["in_doubt"]), (&json!(502), &json!(true)));
    for path in ["records", "stats", &format!("records/{}", site.digits("paid"))] {
        assert!(!site.get(path).await.text.contains("SECRET"), "{path}");
    }
}

#[tokio::test]
async fn fewer_digits_name_a_record_if_they_are_unique() {
    let site = Site::new();
    site.plant().await;
    let digits = site.digits("paid");
    let shown = site.found(&format!("records/{}", digits[..16].to_uppercase())).await;
    assert_eq!(shown["record"]["key"], digits);

    // Of so many records, two begin with the same digit.
    for number in 0..17 {
        site.failed(&format!("order-{number}")).await;
    }
    let first = |site: &Site, number| site.digits(&format!("order-{number}"))[..1].to_owned();
    let mut seen = BTreeSet::new();
    let twice =
        (0..17).map(|number| first(&site, number)).find(|digit| !seen.insert(digit.clone()));
    let twice = twice.unwrap();
    let reply = site.get(&format!("records/{twice}")).await;
    reply.is_problem(409, "admin_digits_ambiguous");
    let found = reply.json()["records"].as_array().unwrap().clone();
    assert!(found.len() >= 2);
    assert!(found.iter().all(|record| record["key"].as_str().unwrap().starts_with(&twice)));

    for none in ["0".repeat(64), "0".repeat(40)] {
        site.get(&format!("records/{none}")).await.is_problem(404, "admin_record_unknown");
    }
    for wrong in ["xyz", &"0".repeat(65), "%20", "..%2fstats"] {
        site.get(&format!("records/{wrong}")).await.is_problem(400, "admin_request_invalid");
    }
}

#[tokio::test]
async fn statistics_count_by_state_and_name_the_operator() {
    let site = Site::new();
    site.plant().await;
    let stats = site.found("stats").await;
    assert_eq!(stats["operator"], "night shift");
    assert_eq!((&stats["next"], &stats["progress"]), (&Value::Null, &Value::Null));
    for state in ["in-flight", "abandoned", "failed", "not-retained", "success"] {
        let count = &stats["states"][state];
        assert_eq!(count["count"], 1, "{state}");
        assert!(count["oldest_changed_seconds_ago"].as_f64().unwrap() < 3600.0, "{state}");
    }
    assert_eq!(stats["states"]["in-doubt"]["count"], 2);
    assert!(stats["states"]["success"]["bytes"].as_u64().unwrap() >= 11);
}

#[tokio::test]
async fn a_parameter_that_is_wrong_is_named() {
    let site = Site::new();
    for (query, name) in [
        ("state=lost", "state"),
        ("older_than_seconds=-1", "older_than_seconds"),
        ("older_than_seconds=NaN", "older_than_seconds"),
        ("older_than_seconds=1e300", "older_than_seconds"),
        ("scope=12", "scope"),
        ("digits=", "digits"),
        ("digits=xyz", "digits"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("order=random", "order"),
        ("older_than=5", "older_than"),
        ("state=stuck&state=failed", "state"),
    ] {
        let reply = site.get(&format!("records?{query}")).await;
        reply.is_problem(400, "admin_request_invalid");
        let problem = reply.json();
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.starts_with(&format!("`{name}`")), "{query}: {detail}");
    }
    site.get("stats?state=stuck").await.is_problem(400, "admin_request_invalid");
}

#[tokio::test]
async fn a_store_without_methods_for_operators_says_so() {
    use axum::Router;
    use axum::body::Body;
    use tower::ServiceExt;
    use tower_idempotency::IdempotencyLayer;
    use tower_idempotency::admin::Admin;

    let layer = IdempotencyLayer::new(crate::support::Scripted::over(crate::support::store()));
    let admin = Admin::new(&layer, |_| Some("night shift".to_owned()));
    let app: Router = Router::new().nest("/idempotency", admin.router());
    for path in ["records", "stats"] {
        let request = super::get(path).body(Body::empty()).unwrap();
        assert_eq!(app.clone().oneshot(request).await.unwrap().status(), 501, "{path}");
    }
}
