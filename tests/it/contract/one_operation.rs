//! The cases of the guide "What is one operation?" (`src/guide/one_operation.md`), each with the
//! setting that it names.

use axum::Router;
use axum::routing::post as route;
use http::header;
use tower_idempotency::{CanonicalBody, JsonPointer, MemoryStore, Scope};

use crate::support::{
    Call, Effects, Server, TestLayer, WireResponse, counting, layer, layers_of_two_processes, post,
};

async fn server(effects: &Effects, layer: TestLayer) -> Server {
    Server::start(counting(effects).layer(layer)).await
}

fn json(path: &str, body: &str) -> Call {
    post(path).key("order-1001").header("Content-Type", "application/json").body(body)
}

#[track_caller]
fn assert_another(response: &WireResponse) {
    response.assert_rejected(409, "idempotency_key_reused");
    assert_eq!(response.header("x-should-retry"), Some("false"));
}

fn pointers<const N: usize>(pointers: [&'static str; N]) -> [JsonPointer; N] {
    pointers.map(JsonPointer::from_static)
}

#[tokio::test]
async fn a_transfer_to_another_recipient_is_another_operation() {
    let only = CanonicalBody::json().only(pointers(["/to", "/amount", "/currency"]));
    for layer in [layer(), layer().fingerprint(only)] {
        let effects = Effects::new();
        let server = server(&effects, layer).await;
        let transfer = |to: &str, amount: u32| {
            json("/transfers", &format!(r#"{{"to":"{to}","amount":{amount},"currency":"EUR"}}"#))
        };
        let first = transfer("acct_2", 1200).send(&server).await;
        first.assert_first(200, "run 1");
        assert_another(&transfer("acct_3", 1200).send(&server).await);
        assert_another(&transfer("acct_2", 9900).send(&server).await);
        transfer("acct_2", 1200).send(&server).await.assert_replays(&first);
        assert_eq!(effects.count(), 1);
    }
}

#[tokio::test]
async fn of_a_transfer_what_was_not_named_may_differ() {
    let effects = Effects::new();
    let only = CanonicalBody::json().only(pointers(["/to", "/amount"]));
    let server = server(&effects, layer().fingerprint(only)).await;
    let first =
        json("/transfers", r#"{"to":"acct_2","amount":1200,"note":"rent"}"#).send(&server).await;
    let again = json("/transfers", r#"{"note":"the rent","to":"acct_2","amount":1200}"#);
    again.send(&server).await.assert_replays(&first);
    // That something is missing counts: it is not the same as any value.
    assert_another(&json("/transfers", r#"{"amount":1200,"note":"rent"}"#).send(&server).await);
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_part_refund_and_a_full_refund_are_two_operations() {
    let effects = Effects::new();
    let server = server(&effects, layer()).await;
    let part = json("/payments/7/refunds", r#"{"amount":500}"#);
    let first = part.send(&server).await;
    assert_another(&json("/payments/7/refunds", "{}").send(&server).await);
    assert_another(&json("/payments/8/refunds", r#"{"amount":500}"#).send(&server).await);
    part.send(&server).await.assert_replays(&first);
    assert_eq!(effects.count(), 1);
    // The second of two alike is the client's to name.
    part.clone()
        .header("X-Ignored", "1")
        .key("order-1001")
        .send(&server)
        .await
        .assert_rejected(400, "idempotency_key_invalid");
    let second =
        post("/payments/7/refunds").key("order-1002").header("Content-Type", "application/json");
    second.body(r#"{"amount":500}"#).send(&server).await.assert_first(200, "run 2");
}

#[tokio::test]
async fn refunds_of_two_payments_are_two_operations_in_a_nested_router_too() {
    let inner = Router::new().route("/refunds", route(|| async { "refunded" })).layer(layer());
    let app: Router = Router::new().nest("/payments/{id}", inner);
    let server = Server::start(app).await;
    json("/payments/7/refunds", "{}").send(&server).await.assert_first(200, "refunded");
    assert_another(&json("/payments/8/refunds", "{}").send(&server).await);
}

#[tokio::test]
async fn a_nonce_in_the_body_is_left_out() {
    let effects = Effects::new();
    let rule = CanonicalBody::json()
        .ignore(JsonPointer::from_static("/nonce"))
        .ignore(JsonPointer::from_static("/meta/sent_at"));
    let server = server(&effects, layer().fingerprint(rule)).await;
    let first =
        json("/payments", r#"{"amount":1200,"nonce":"a1","meta":{"sent_at":1,"by":"app"}}"#);
    let first = first.send(&server).await;
    let again =
        json("/payments", r#"{"nonce":"b2","meta":{"by":"app","sent_at":2},"amount":1200.0}"#);
    again.send(&server).await.assert_replays(&first);
    let without = json("/payments", r#"{"amount":1200,"meta":{"by":"app"}}"#);
    without.send(&server).await.assert_replays(&first);
    let other =
        json("/payments", r#"{"amount":1201,"nonce":"a1","meta":{"sent_at":1,"by":"app"}}"#);
    assert_another(&other.send(&server).await);
    let elsewhere = json("/payments", r#"{"amount":1200,"meta":{"by":"app","nonce":"a1"}}"#);
    assert_another(&elsewhere.send(&server).await);
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_form_is_taken_by_its_fields_and_an_upload_by_its_parts() {
    let effects = Effects::new();
    let rule = CanonicalBody::any().ignore(JsonPointer::from_static("/nonce"));
    let server = server(&effects, layer().fingerprint(rule)).await;
    let form = |body: &str| {
        let content_type = "application/x-www-form-urlencoded";
        post("/payments").key("form").header("Content-Type", content_type).body(body)
    };
    let first = form("amount=1200&to=acct+2&nonce=a1").send(&server).await;
    form("to=acct%202&nonce=b2&amount=1200").send(&server).await.assert_replays(&first);
    assert_another(&form("to=acct%203&nonce=a1&amount=1200").send(&server).await);

    let upload = |boundary: &str, content: &str| {
        let content_type = format!("multipart/form-data; boundary={boundary}");
        let body = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"invoice\"; filename=\"1.txt\"\r\n\r\n\
             {content}\r\n--{boundary}--\r\n"
        );
        post("/invoices").key("upload").header("Content-Type", content_type).body(body)
    };
    let first = upload("one", "1200 EUR").send(&server).await;
    upload("another", "1200 EUR").send(&server).await.assert_replays(&first);
    assert_another(&upload("one", "1300 EUR").send(&server).await);
    assert_eq!(effects.count(), 2);
}

#[tokio::test]
async fn a_batch_is_one_operation_and_its_order_counts_unless_a_rule_sorts() {
    let effects = Effects::new();
    let rule = CanonicalBody::json();
    let server_json = server(&effects, layer().fingerprint(rule)).await;
    let batch = r#"[{"to":"acct_2","amount":1},{"to":"acct_3","amount":2}]"#;
    let first = json("/payouts", batch).send(&server_json).await;
    json("/payouts", &batch.replace(',', ", ")).send(&server_json).await.assert_replays(&first);
    let turned = r#"[{"to":"acct_3","amount":2},{"to":"acct_2","amount":1}]"#;
    assert_another(&json("/payouts", turned).send(&server_json).await);
    assert_another(&json("/payouts", r#"[{"to":"acct_2","amount":1}]"#).send(&server_json).await);
    assert_eq!(effects.count(), 1);

    let effects = Effects::new();
    let sorting = layer().fingerprint_fn(|operation, fields| {
        let mut payouts: Vec<_> = operation.body().split(|byte| *byte == b'\n').collect();
        payouts.sort_unstable();
        fields.add_target(operation).add_list(payouts);
        true
    });
    let server = server(&effects, sorting).await;
    let lines = |body: &str| post("/payouts").key("order-1001").body(body);
    let first = lines("acct_2 1\nacct_3 2").send(&server).await;
    lines("acct_3 2\nacct_2 1").send(&server).await.assert_replays(&first);
    assert_another(&lines("acct_3 1\nacct_2 2").send(&server).await);
    assert_another(&lines("acct_2 1\nacct_2 1\nacct_3 2").send(&server).await);
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn the_same_key_of_two_tenants_is_two_operations() {
    let effects = Effects::new();
    let scoped = layer().scope(|parts| match parts.headers.get("x-tenant") {
        Some(tenant) => Scope::new(tenant),
        None => Scope::anonymous(),
    });
    let server = server(&effects, scoped).await;
    let payment = |tenant: &str| json("/payments", r#"{"amount":1200}"#).header("X-Tenant", tenant);
    let of_one = payment("1").send(&server).await;
    of_one.assert_first(200, "run 1");
    let of_two = payment("2").send(&server).await;
    of_two.assert_first(200, "run 2");
    payment("1").send(&server).await.assert_replays(&of_one);
    payment("2").send(&server).await.assert_replays(&of_two);
    assert_eq!(effects.count(), 2);
}

#[tokio::test]
async fn two_versions_of_an_api_are_one_operation_where_a_rule_says_so() {
    let effects = Effects::new();
    let plain = server(&effects, layer()).await;
    json("/v1/payments", "{}").send(&plain).await.assert_first(200, "run 1");
    assert_another(&json("/v2/payments", "{}").send(&plain).await);

    let effects = Effects::new();
    let both = layer().fingerprint_fn(|operation, fields| {
        let Some(("/v1" | "/v2", path)) = operation.path_and_query().split_at_checked(3) else {
            return false;
        };
        fields.add(operation.method().as_str()).add(path).add(operation.body());
        true
    });
    let server = server(&effects, both).await;
    let first = json("/v1/payments", "{}").send(&server).await;
    json("/v2/payments", "{}").send(&server).await.assert_replays(&first);
    for other in ["/v3/payments", "/v1/refunds", "/payments", "/v2/payments?to=acct_2"] {
        assert_another(&json(other, "{}").send(&server).await);
    }
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_header_that_chooses_between_two_responses_counts_once_it_is_named() {
    let effects = Effects::new();
    let named = layer().fingerprint_headers([header::ACCEPT]);
    let server = server(&effects, named).await;
    let invoice = |accept: &str| json("/invoices", "{}").header("Accept", accept);
    let first = invoice("application/pdf").send(&server).await;
    assert_another(&invoice("application/json").send(&server).await);
    invoice("application/pdf").send(&server).await.assert_replays(&first);
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_record_from_before_the_rule_changed_is_compared_by_the_rule_before() {
    let nonce = || CanonicalBody::json().ignore(JsonPointer::from_static("/nonce"));
    let both = || nonce().ignore(JsonPointer::from_static("/sent_at"));
    let effects = Effects::new();
    let [before, after] = layers_of_two_processes(&MemoryStore::new());
    let old = server(&effects, before.fingerprint(nonce())).await;
    let named =
        server(&effects, after.clone().fingerprint(both()).legacy_fingerprint(nonce())).await;
    let unnamed = server(&effects, after.fingerprint(both())).await;

    let payment = |nonce: &str, sent_at: u32| {
        json("/payments", &format!(r#"{{"amount":1200,"nonce":"{nonce}","sent_at":{sent_at}}}"#))
    };
    let first = payment("a1", 1).send(&old).await;
    payment("b2", 1).send(&named).await.assert_replays(&first);
    // By the rule before, it is another one.
    assert_another(&payment("a1", 2).send(&named).await);
    // Without the legacy rule a genuine retry is rejected, but not run again.
    assert_another(&payment("a1", 1).send(&unnamed).await);
    assert_eq!(effects.count(), 1);
}
