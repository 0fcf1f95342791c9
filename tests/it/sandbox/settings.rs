//! The flags that define the same operation, and how much of its response is stored.

use serde_json::{Value, json};

use super::server::{Sandbox, SandboxResponse, order, order_with};

/// Pays with a header and a body as they are.
async fn pay(sandbox: &Sandbox, header: &str, key: &str, body: &str) -> SandboxResponse {
    sandbox.send(sandbox.json("/payments").header(header, key), body.to_owned()).await
}

fn code(response: &SandboxResponse) -> (u16, String) {
    (response.status.as_u16(), response.json()["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn the_ietf_profile_takes_strings_in_either_header_and_tells_a_mismatch_by_422() {
    let sandbox = Sandbox::start(&["--profile", "ietf"]).await;
    let order = order().to_string();
    let bare = pay(&sandbox, "idempotency-key", "order-1001", &order).await;
    assert_eq!(code(&bare), (400, "idempotency_key_invalid".into()));
    let first = pay(&sandbox, "idempotency-key", "\"order-1001\"", &order).await;
    assert_eq!(first.status, 201);
    assert!(pay(&sandbox, "idempotency-key", "\"order-1001\"", &order).await.is_replay());
    let other =
        pay(&sandbox, "idempotency-key", "\"order-1001\"", &order.replace("acct_2", "acct_3"))
            .await;
    assert_eq!(code(&other), (422, "idempotency_key_reused".into()));
    assert_eq!(other.header("x-should-retry"), Some("false"));
    // The default header carries the same key, in the same form.
    assert!(pay(&sandbox, "x-idempotency-key", "\"order-1001\"", &order).await.is_replay());
    let bare = pay(&sandbox, "x-idempotency-key", "order-1001", &order).await;
    assert_eq!(code(&bare), (400, "idempotency_key_invalid".into()));
    assert_eq!(sandbox.effects().await.len(), 1);
}

#[tokio::test]
async fn the_ietf_profile_stores_every_4xx() {
    let sandbox = Sandbox::start(&["--profile", "ietf"]).await;
    for status in [400, 401, 422, 429] {
        let (key, order) =
            (format!("\"{status}\""), order_with(json!({ "status": status })).to_string());
        let first = pay(&sandbox, "idempotency-key", &key, &order).await;
        let second = pay(&sandbox, "idempotency-key", &key, &order).await;
        assert_eq!((first.status.as_u16(), second.status.as_u16()), (status, status));
        assert!(!first.is_replay() && second.is_replay(), "{status}");
    }
}

#[tokio::test]
async fn the_stripe_profile_replays_failures_and_tells_a_mismatch_by_400() {
    let sandbox = Sandbox::start(&["--profile", "stripe"]).await;
    let order = order().to_string();
    let first = pay(&sandbox, "idempotency-key", "order-1001", &order).await;
    assert_eq!((first.status.as_u16(), first.header("idempotent-replayed")), (201, None));
    let second = pay(&sandbox, "idempotency-key", "order-1001", &order).await;
    assert_eq!(second.header("idempotent-replayed"), Some("true"));
    assert_eq!(second.body, first.body);
    let other =
        pay(&sandbox, "idempotency-key", "order-1001", &order.replace("1200", "9900")).await;
    assert_eq!(code(&other), (400, "idempotency_key_reused".into()));

    for (status, is_stored) in
        [(402, true), (500, true), (503, true), (400, false), (401, false), (429, false)]
    {
        let (key, order) =
            (status.to_string(), order_with(json!({ "status": status })).to_string());
        let first = pay(&sandbox, "idempotency-key", &key, &order).await;
        let second = pay(&sandbox, "idempotency-key", &key, &order).await;
        assert_eq!((first.status.as_u16(), second.status.as_u16()), (status, status));
        assert_eq!(second.is_replay(), is_stored, "{status}");
    }
}

#[tokio::test]
async fn a_flag_counts_for_more_than_the_profile() {
    let sandbox = Sandbox::start(&["--on-failed", "rerun", "--profile", "stripe"]).await;
    let order = order_with(json!({ "status": 500 })).to_string();
    for attempt in 1..=2 {
        let response = pay(&sandbox, "idempotency-key", "failing", &order).await;
        assert!(!response.is_replay());
        assert_eq!(response.json()["attempt"], attempt);
    }
}

#[tokio::test]
async fn stored_status_is_replayed_and_says_that_the_body_was_left_out() {
    for value in ["status", "digest"] {
        let sandbox = Sandbox::start(&["--keep", value]).await;
        let first = sandbox.pay("order-1001", &order()).await;
        assert!(!first.body.is_empty());
        let second = sandbox.pay("order-1001", &order()).await;
        assert_eq!(second.status, 201);
        assert!(second.is_replay() && second.body.is_empty());
        assert_eq!(second.header("x-idempotent-body"), Some("omitted"));
        let digest = second.header("repr-digest");
        assert_eq!(digest.is_some(), value == "digest");
        assert!(
            digest.is_none_or(|digest| digest.starts_with("sha-256=:") && digest.ends_with(':'))
        );
        assert_eq!(sandbox.effects().await.len(), 1);
    }
}

#[tokio::test]
async fn what_was_encrypted_is_read_with_its_key_and_without_it_nothing_runs() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let store = format!("sqlite:{}", path("records.db").display());
    let start = async |keys: &[&str]| {
        let flags = [&["--store", &store], keys].concat();
        Sandbox::start_with(&path("ledger"), &flags).await
    };
    let (right, wrong) = ("01".repeat(32), "02".repeat(32));

    let sandbox = start(&["--encryption-key", &right]).await;
    let first = sandbox.pay("order-1001", &order()).await;
    assert_eq!(first.status, 201);
    drop(sandbox);
    let written = std::fs::read(path("records.db")).unwrap();
    let log = std::fs::read(path("records.db-wal")).unwrap_or_default();
    let id = first.json()["id"].as_str().unwrap().to_owned();
    let finds = |bytes: &[u8]| bytes.windows(id.len()).any(|window| window == id.as_bytes());
    assert!(!finds(&written) && !finds(&log));

    for keys in [&["--encryption-key", &*wrong] as &[&str], &[]] {
        let sandbox = start(keys).await;
        let rejected = sandbox.pay("order-1001", &order()).await;
        assert_eq!(code(&rejected), (503, "idempotency_store_unavailable".into()));
        assert!(rejected.header("retry-after").is_some());
        assert_eq!(sandbox.effects().await.len(), 1);
    }
    let sandbox = start(&["--encryption-key", &right]).await;
    let second = sandbox.pay("order-1001", &order()).await;
    assert!(second.is_replay());
    assert_eq!((second.status, &second.body), (first.status, &first.body));
    assert_eq!(second.header("location"), first.header("location"));
    assert_eq!(sandbox.effects().await.len(), 1);
}

#[tokio::test]
async fn canonical_json_forgives_spelling_and_ignore_forgives_a_member() {
    let spelled = [
        r#"{"amount":1200,"currency":"EUR","to":"acct_2","sent_at":1}"#,
        r#"{ "to": "acct_2", "sent_at": 1, "currency": "\u0045UR", "amount": 12e2 }"#,
    ];
    let later = spelled[0].replace(":1}", ":2}");
    let keyed = "x-idempotency-key";

    let exact = Sandbox::start(&[]).await;
    assert_eq!(pay(&exact, keyed, "order-1001", spelled[0]).await.status, 201);
    assert_eq!(pay(&exact, keyed, "order-1001", spelled[1]).await.status, 409);

    let canonical = Sandbox::start(&["--canonical-json"]).await;
    // The number of the second is none that the handler takes, which shows that it was not asked.
    assert_eq!(pay(&canonical, keyed, "order-1001", spelled[0]).await.status, 201);
    assert!(pay(&canonical, keyed, "order-1001", spelled[1]).await.is_replay());
    assert_eq!(code(&pay(&canonical, keyed, "order-1001", &later).await).0, 409);
    assert_eq!(canonical.effects().await.len(), 1);

    let ignoring = Sandbox::start(&["--ignore", "/sent_at", "--ignore=/note"]).await;
    assert_eq!(pay(&ignoring, keyed, "order-1001", spelled[0]).await.status, 201);
    assert!(pay(&ignoring, keyed, "order-1001", &later).await.is_replay());
    let mut noted: Value = serde_json::from_str(&later).unwrap();
    noted["note"] = "once more".into();
    assert!(pay(&ignoring, keyed, "order-1001", &noted.to_string()).await.is_replay());
    noted["amount"] = 1201.into();
    assert_eq!(code(&pay(&ignoring, keyed, "order-1001", &noted.to_string()).await).0, 409);
    assert_eq!(ignoring.effects().await.len(), 1);
}
