//! Release, settle and erase, and what clients get afterwards.

use axum::Router;
use axum::body::Body;
use axum::routing::post as to_post;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use tower_idempotency::store::{Settlement, Store};
use tower_idempotency::{OnFailed, Scope};

use super::{LONG, Site, change_of, post, response};
use crate::support::patiently;

/// A response that has a body of bytes and a repeated header.
fn settled_response() -> Value {
    json!({ "response": {
        "status": 201,
        "headers": { "content-type": "application/json", "x-note": ["one", "two"] },
        "base64": "eyJpZCI6MX0=",
    }})
}

#[tokio::test]
async fn a_client_gets_the_response_that_an_operator_has_settled() {
    let site = Site::new();
    let guard = site.layer.clone().scope(|_| Scope::new("account")).on_failed(OnFailed::Reject);
    let times_out = async || StatusCode::GATEWAY_TIMEOUT;
    let app: Router = Router::new().route("/payments", to_post(times_out)).route_layer(guard);
    let pay = async || {
        let request = Request::post("/payments").header("x-idempotency-key", "order-1");
        patiently(app.clone().oneshot(request.body(Body::empty()).unwrap())).await.unwrap()
    };
    assert_eq!(pay().await.status(), 504);
    let rejected = pay().await;
    assert_eq!(rejected.status(), 409);

    let page = site.found("records?state=stuck").await;
    let [record] = &page["records"].as_array().unwrap()[..] else { panic!("{page}") };
    assert_eq!(record["route"], "POST /payments");
    let path = format!("records/{}/settle", record["key"].as_str().unwrap());
    let reply = site.post(&path, &change_of(record, settled_response())).await;
    assert_eq!(reply.json()["result"], "applied", "{}", reply.text);

    let again = pay().await;
    assert_eq!(
        (again.status().as_u16(), again.headers()["x-idempotent-result"] == "true"),
        (201, true)
    );
    let notes: Vec<_> = again.headers().get_all("x-note").iter().collect();
    assert_eq!(notes, ["one", "two"]);
    assert_eq!(again.headers()["content-type"], "application/json");
    assert_eq!(again.into_body().collect().await.unwrap().to_bytes(), r#"{"id":1}"#);
}

#[tokio::test]
async fn each_way_to_settle_leaves_its_record_and_its_entry_in_the_history() {
    let site = Site::new();
    let text = json!({ "response": { "status": 200, "text": "done" } });
    for (name, action, members, entry, state, status) in [
        ("a", "settle", text, "respond", Some("success"), json!(200)),
        ("b", "settle", settled_response(), "respond", Some("success"), json!(201)),
        ("c", "settle", json!({ "failed": {} }), "fail", Some("failed"), Value::Null),
        ("d", "settle", json!({ "failed": { "status": 502 } }), "fail", Some("failed"), json!(502)),
        (
            "e",
            "settle",
            json!({ "done": { "status": 201 } }),
            "conclude",
            Some("not-retained"),
            json!(201),
        ),
        ("f", "release", json!({}), "release", None, Value::Null),
        ("g", "erase", json!({}), "erase", None, Value::Null),
    ] {
        site.abandoned(name).await;
        let reply = site.change(name, action, members).await;
        assert_eq!(
            (reply.status.as_u16(), &reply.json()["result"]),
            (200, &json!("applied")),
            "{name}"
        );
        let shown = site.found(&format!("records/{}", site.digits(name))).await;
        assert_eq!(shown["record"]["state"].as_str(), state, "{name}");
        assert_eq!(shown["record"]["status"], status, "{name}");
        let [written] = &shown["history"].as_array().unwrap()[..] else { panic!("{shown}") };
        let expected = json!({
            "id": written["id"], "at_unix_seconds": written["at_unix_seconds"], "action": entry,
            "by": "night shift", "reason": "the provider says so", "was": "abandoned", "attempt": 1,
        });
        assert_eq!(*written, expected, "{name}");
        assert!(written["at_unix_seconds"].as_f64().unwrap() > 1.7e9);
    }
}

#[tokio::test]
async fn the_same_change_a_second_time_is_told_apart_from_a_record_that_has_moved_on() {
    let site = Site::new();
    for (name, action, members) in [
        ("released", "release", json!({})),
        ("erased", "erase", json!({})),
        ("settled", "settle", settled_response()),
        ("failed", "settle", json!({ "failed": {} })),
    ] {
        site.abandoned(name).await;
        let body = change_of(&site.record(name).await, members);
        let path = format!("records/{}/{action}", site.digits(name));
        for result in ["applied", "already-applied", "already-applied"] {
            let reply = site.post(&path, &body).await;
            assert_eq!(reply.json()["result"], result, "{name}: {}", reply.text);
        }
        let other = format!("records/{}/settle", site.digits(name));
        let done = change_of(&body_as_record(&body), json!({ "done": { "status": 204 } }));
        site.post(&other, &done).await.is_problem(409, "admin_record_moved");
    }
}

/// The version that a change names, in the place of the record.
fn body_as_record(body: &Value) -> Value {
    body["seen"].clone()
}

#[tokio::test]
async fn a_record_that_has_moved_on_is_left_as_it_is_and_shown() {
    let site = Site::new();
    let lease = site.abandoned("order").await;
    let seen = site.record("order").await;
    let late = site.store.complete(&lease, &response(201, "paid"), LONG).await.unwrap();
    assert_eq!(late, Settlement::Applied);
    for (action, members) in
        [("release", json!({})), ("erase", json!({})), ("settle", json!({ "failed": {} }))]
    {
        let path = format!("records/{}/{action}", site.digits("order"));
        let reply = site.post(&path, &change_of(&seen, members)).await;
        reply.is_problem(409, "admin_record_moved");
        assert_eq!(reply.json()["record"]["state"], "success", "{action}");
        assert_eq!(reply.json()["record"]["key"], site.digits("order"), "{action}");
    }
    let gone = format!("records/{}/release", site.digits("never-there"));
    let reply = site.post(&gone, &change_of(&seen, json!({}))).await;
    reply.is_problem(409, "admin_record_moved");
    assert_eq!(reply.json()["record"], Value::Null);
}

#[tokio::test]
async fn an_attempt_that_runs_is_left_alone_unless_the_change_says_otherwise() {
    let site = Site::new();
    let lease = site.in_flight("order").await;
    for action in ["release", "erase"] {
        let reply = site.change("order", action, json!({})).await;
        reply.is_problem(409, "admin_record_in_flight");
        assert_eq!(reply.json()["record"]["state"], "in-flight");
    }
    let done = json!({ "done": { "status": 201 }, "even_in_flight": true });
    let reply = site.change("order", "settle", done).await;
    assert_eq!(reply.json()["result"], "applied", "{}", reply.text);
    let late = site.store.complete(&lease, &response(201, "paid"), LONG).await.unwrap();
    assert_eq!(late, Settlement::LeaseLost);
}

#[tokio::test]
async fn an_attempt_that_has_ended_since_is_shown_as_it_is_now() {
    let site = Site::new();
    let lease = site.in_flight("order").await;
    let seen = site.record("order").await;
    let _ = site.store.fail(&lease, None, LONG).await.unwrap();
    let path = format!("records/{}/release", site.digits("order"));
    let reply = site.post(&path, &change_of(&seen, json!({}))).await;
    reply.is_problem(409, "admin_record_moved");
    assert_eq!(reply.json()["record"]["state"], "failed");
}

#[tokio::test]
async fn a_response_that_clients_get_is_not_replaced() {
    let site = Site::new();
    site.succeeded("order").await;
    for (action, members) in [("release", json!({})), ("settle", settled_response())] {
        let reply = site.change("order", action, members).await;
        reply.is_problem(409, "admin_record_has_response");
        assert_eq!(reply.json()["record"]["state"], "success");
    }
    let reply = site.change("order", "erase", json!({})).await;
    assert_eq!(reply.json()["result"], "applied");
}

#[tokio::test]
async fn a_change_that_is_not_whole_is_rejected_and_changes_nothing() {
    let site = Site::new();
    site.abandoned("order").await;
    let record = site.record("order").await;
    let both = json!({ "failed": {}, "done": { "status": 201 } });
    let text_twice = json!({ "response": { "status": 200, "text": "", "base64": "" } });
    for (action, members) in [
        ("settle", json!({})),
        ("settle", both),
        ("settle", text_twice),
        ("settle", json!({ "response": { "status": 99 } })),
        ("settle", json!({ "response": { "status": 200, "base64": "%" } })),
        ("settle", json!({ "response": { "status": 200, "headers": { "a b": "c" } } })),
        ("settle", json!({ "response": { "status": 200, "headers": { "x": "a\nb" } } })),
        ("settle", json!({ "done": {} })),
        ("settle", json!({ "done": { "status": 100 } })),
        ("settle", json!({ "failed": { "status": 600 } })),
        ("release", json!({ "failed": {} })),
        ("erase", json!({ "done": { "status": 200 } })),
        ("release", json!({ "reason": "" })),
        ("release", json!({ "reason": " " })),
        ("release", json!({ "reason": "two\nlines" })),
        ("release", json!({ "reason": "x".repeat(1025) })),
        ("release", json!({ "reason": 5 })),
        ("release", json!({ "even_in_fligth": true })),
        ("release", json!({ "seen": { "attempt": 1, "token": "12", "state": "abandoned" } })),
        ("release", json!({ "seen": { "attempt": 1, "token": record["token"], "state": "lost" } })),
    ] {
        let path = format!("records/{}/{action}", site.digits("order"));
        let change = change_of(&record, members);
        let reply = site.post(&path, &change).await;
        assert_eq!(
            reply.problem(),
            (422, "admin_change_invalid".into()),
            "{change}: {}",
            reply.text
        );
    }
    let path = format!("records/{}/release", site.digits("order"));
    let reply = site.send(post(&path).body("{".into()).unwrap()).await;
    reply.is_problem(400, "admin_request_invalid");
    let large = json!({ "reason": "x".repeat(5 << 20) });
    site.post(&path, &large).await.is_problem(413, "admin_request_too_large");
    let short = format!("records/{}/release", &site.digits("order")[..8]);
    let change = change_of(&record, json!({}));
    site.post(&short, &change).await.is_problem(400, "admin_request_invalid");
    let shown = site.found(&format!("records/{}", site.digits("order"))).await;
    assert_eq!((&shown["record"]["state"], &shown["history"]), (&json!("abandoned"), &json!([])));
}

#[tokio::test]
async fn a_settlement_of_a_record_that_has_gone_is_not_said_to_be_done() {
    let site = Site::new();
    site.not_retained("large").await;
    let before = site.record("large").await;
    let erased = site.change("large", "erase", json!({})).await;
    assert_eq!(erased.json()["result"], "applied");
    let lease = site.in_flight("large").await;
    // The page still shows the old record. The status is also that of a response without one.
    for status in [200, 201] {
        let body = change_of(&before, json!({ "done": { "status": status } }));
        let path = format!("records/{}/settle", site.digits("large"));
        site.post(&path, &body).await.is_problem(409, "admin_record_moved");
    }
    let _ = site.store.release(&lease).await.unwrap();
}

#[tokio::test]
async fn a_response_is_not_replaced_because_the_request_says_that_there_is_none() {
    let site = Site::new();
    site.succeeded("paid").await;
    let mut record = site.record("paid").await;
    record["state"] = "not-retained".into();
    let path = format!("records/{}/settle", site.digits("paid"));
    for how in [settled_response(), json!({ "done": { "status": 200 } })] {
        let reply = site.post(&path, &change_of(&record, how)).await;
        reply.is_problem(409, "admin_record_has_response");
    }
    assert_eq!(site.record("paid").await["token"], record["token"]);
}

#[tokio::test]
async fn a_response_that_http_forbids_is_not_stored() {
    let site = Site::new();
    site.abandoned("cut-off").await;
    for status in [204, 205, 304] {
        let members = json!({ "response": { "status": status, "text": "with a body" } });
        let reply = site.change("cut-off", "settle", members).await;
        reply.is_problem(422, "admin_change_invalid");
    }
    assert_eq!(site.record("cut-off").await["state"], "abandoned");
    let empty = site.change("cut-off", "settle", json!({ "response": { "status": 204 } })).await;
    assert_eq!(empty.json()["result"], "applied");
}
