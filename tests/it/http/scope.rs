//! Whose key it is.

use tower_idempotency::Scope;

use crate::support::{Effects, Server, counting, layer, layer_over, post, store};

fn by_credential(parts: &http::request::Parts) -> Scope {
    parts.headers.get("authorization").map_or_else(Scope::anonymous, Scope::new)
}

#[tokio::test]
async fn a_scope_keeps_callers_apart() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer().scope(by_credential))).await;
    let of = |credential: &str| post("/").key("order-1001").header("Authorization", credential);

    let alice = of("Bearer alice").send(&server).await;
    let bob = of("Bearer bob").send(&server).await;
    let nobody = post("/").key("order-1001").send(&server).await;
    let empty = of("").send(&server).await;
    alice.assert_first(200, "run 1");
    bob.assert_first(200, "run 2");
    nobody.assert_first(200, "run 3");
    empty.assert_first(200, "run 4");

    of("Bearer alice").send(&server).await.assert_replays(&alice);
    of("Bearer bob").send(&server).await.assert_replays(&bob);
    post("/").key("order-1001").send(&server).await.assert_replays(&nobody);
    assert_eq!(effects.count(), 4);
}

#[tokio::test]
async fn scope_and_key_do_not_run_into_each_other() {
    let effects = Effects::new();
    let server = Server::start(counting(&effects).layer(layer().scope(by_credential))).await;
    for (scope, key) in [("a", "b:c"), ("a:b", "c"), ("a:", "b:c"), ("ab", ":c"), ("A", "b:c")] {
        let answer = post("/").key(key).header("Authorization", scope).send(&server).await;
        assert!(!answer.is_replay(), "scope {scope:?}, key {key:?}");
    }
    assert_eq!(effects.count(), 5);
}

#[tokio::test]
async fn namespaces_and_secrets_keep_services_apart_in_one_store() {
    let effects = Effects::new();
    let layer = layer_over(store());
    let layers = [
        layer.clone(),
        layer.clone().namespace("payments"),
        layer.clone().namespace("Payments"),
        layer.clone().secret([1; 32]),
        layer.clone().secret([2; 32]),
    ];
    for (index, layer) in layers.into_iter().enumerate() {
        let server = Server::start(counting(&effects).layer(layer)).await;
        let first = post("/").key("order-1001").send(&server).await;
        first.assert_first(200, &format!("run {}", index + 1));
        post("/").key("order-1001").send(&server).await.assert_replays(&first);
    }
    assert_eq!(effects.count(), 5);
}
