//! Rules of fingerprints through a socket: which requests are the same operation, and which
//! are rejected as another.

use tower_idempotency::{CanonicalBody, JsonPointer};

use crate::support::{Call, Effects, Server, TestLayer, counting, layer, post};

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

fn sent(content_type: &str, body: impl AsRef<[u8]>) -> Call {
    post("/payments").key("order-1001").header("Content-Type", content_type).body(body)
}

/// Sends the first, and then the others under the same key: those in `same` are replays, and those
/// in `other` are rejected.
async fn assert_tells_apart(layer: TestLayer, first: Call, same: Vec<Call>, other: Vec<Call>) {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer)).await;
    let first = first.send(&server).await;
    first.assert_first(200, "run 1");
    for (number, call) in same.into_iter().enumerate() {
        println!("same {number}");
        call.send(&server).await.assert_replays(&first);
    }
    for (number, call) in other.into_iter().enumerate() {
        println!("other {number}");
        call.send(&server).await.assert_rejected(409, "idempotency_key_reused");
    }
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn a_retry_in_canonical_form_is_a_replay() {
    macro_rules! vectors {
        ($($name:literal),*) => {[$((
            &include_bytes!(concat!("../canonical/input/", $name, ".json"))[..],
            &include_bytes!(concat!("../canonical/output/", $name, ".json"))[..],
        )),*]};
    }
    let effects = Effects::new();
    let server =
        Server::start(counting(&effects).layer(layer().fingerprint(CanonicalBody::json()))).await;
    let vectors = vectors!("arrays", "french", "structures", "unicode", "values", "weird");
    for (number, (input, output)) in vectors.into_iter().enumerate() {
        let key = format!("vector-{number}");
        let sent = |body| post("/").key(&key).header("Content-Type", JSON).body(body);
        let first = sent(input).send(&server).await;
        first.assert_first(200, &format!("run {}", number + 1));
        sent(output).send(&server).await.assert_replays(&first);
    }
    assert_eq!(effects.count(), 6);
}

#[tokio::test]
async fn json_is_the_same_however_it_is_spelled_and_another_amount_is_another() {
    assert_tells_apart(
        layer().fingerprint(CanonicalBody::json()),
        sent(JSON, r#"{"amount":1200,"to":"acct_2"}"#),
        vec![
            sent(JSON, "{ \"to\" : \"acct\\u005f2\",\n\"amount\":1.2e3}"),
            sent("application/json; charset=utf-8", r#"{"amount":1200,"to":"acct_2"}"#),
        ],
        vec![
            sent(JSON, r#"{"amount":1201,"to":"acct_2"}"#),
            sent(JSON, r#"{"amount":"1200","to":"acct_2"}"#),
            sent(JSON, r#"{"amount":1200,"to":"acct_2","to":"acct_2"}"#),
            sent("text/plain", r#"{"amount":1200,"to":"acct_2"}"#),
            post("/refunds")
                .key("order-1001")
                .header("Content-Type", JSON)
                .body(r#"{"amount":1200,"to":"acct_2"}"#),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_has_no_canonical_form_is_the_same_byte_for_byte() {
    for body in [r#"{"amount":9007199254740993}"#, r#"{"to":"a","to":"b"}"#, "{"] {
        let other = [body, " "].concat();
        assert_tells_apart(
            layer().fingerprint(CanonicalBody::any()),
            sent(JSON, body),
            vec![sent(JSON, body)],
            vec![
                sent(JSON, other),
                sent(JSON, r#"{"amount":9007199254740992}"#),
                sent(JSON, r#"{"to":"b"}"#),
            ],
        )
        .await;
    }
}

#[tokio::test]
async fn a_nonce_is_ignored_and_everything_else_is_not() {
    let nonce = JsonPointer::from_static("/client/nonce");
    assert_tells_apart(
        layer().fingerprint(CanonicalBody::json().ignore(nonce)),
        sent(JSON, r#"{"amount":1200,"client":{"nonce":1,"id":"a"}}"#),
        vec![
            sent(JSON, r#"{"amount":1200,"client":{"nonce":2,"id":"a"}}"#),
            sent(JSON, r#"{"amount":1200,"client":{"id":"a"}}"#),
        ],
        vec![
            sent(JSON, r#"{"amount":1201,"client":{"nonce":1,"id":"a"}}"#),
            sent(JSON, r#"{"amount":1200,"nonce":1,"client":{"id":"a"}}"#),
        ],
    )
    .await;
}

#[tokio::test]
async fn only_the_fields_that_matter_count() {
    let only = [JsonPointer::from_static("/amount"), JsonPointer::from_static("/to")];
    assert_tells_apart(
        layer().fingerprint(CanonicalBody::json().only(only)),
        sent(JSON, r#"{"amount":1200,"to":"acct_2","note":"x"}"#),
        vec![sent(JSON, r#"{"to":"acct_2","amount":1200,"note":["y"]}"#)],
        vec![
            sent(JSON, r#"{"amount":1200,"to":"acct_3","note":"x"}"#),
            sent(JSON, r#"{"amount":1200,"note":"x"}"#),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_form_is_the_same_by_its_fields() {
    assert_tells_apart(
        layer().fingerprint(CanonicalBody::form()),
        sent(FORM, "amount=1200&to=acct+2"),
        vec![sent(FORM, "to=acct%202&amount=1200")],
        vec![sent(FORM, "amount=1200&to=acct%2B2"), sent(FORM, "amount=1200&to=acct+2&to=")],
    )
    .await;
}

#[tokio::test]
async fn multipart_is_the_same_whatever_the_boundary() {
    let upload = |boundary: &str, name: &str| {
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"a\"\r\n\r\n"
        );
        let body = format!("{head}bytes\r\n--{boundary}--\r\n");
        sent(&format!("multipart/form-data; boundary={boundary}"), body)
    };
    assert_tells_apart(
        layer().fingerprint(CanonicalBody::multipart()),
        upload("one", "scan"),
        vec![upload("another", "scan")],
        vec![upload("one", "photo"), sent("multipart/form-data; boundary=one", "--one--\r\n")],
    )
    .await;
}

#[tokio::test]
async fn two_versions_of_an_api_are_one_operation_if_a_rule_says_so() {
    let layer = layer().fingerprint_fn(|operation, fields| {
        let Some(("/v1" | "/v2", path)) = operation.path_and_query().split_at_checked(3) else {
            return false;
        };
        fields.add(operation.method().as_str()).add(path).add(operation.body());
        true
    });
    let to = |path: &str| post(path).key("order-1001").body("1200");
    assert_tells_apart(
        layer,
        to("/v1/payments"),
        vec![to("/v2/payments")],
        vec![
            to("/v3/payments"),
            to("/v2/refunds"),
            to("/v1/payments?dry=1"),
            to("/v1/payments").body("1201"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_secret_changes_nothing_that_a_client_sees() {
    for layer in [layer(), layer().fingerprint(CanonicalBody::json())] {
        assert_tells_apart(
            layer.secret([7; 32]),
            sent(JSON, "[1]"),
            vec![sent(JSON, "[1]")],
            vec![sent(JSON, "[2]"), sent("text/plain", "[1]")],
        )
        .await;
    }
}
