//! The key that a handler gives to other systems.

use std::sync::{Arc, Mutex};

use http::StatusCode;
use tower_idempotency::store::{DynStore, StoreErrorKind};
use tower_idempotency::{Attempt, Fingerprint, IdempotencyKey, OnOutage, Scope};

use crate::support::{
    Effects, Fault, Operation, Scripted, Server, TestLayer, app, layer_over, post, store,
};

/// A layer that takes the tenant from a header.
fn tenants(store: &Scripted) -> TestLayer {
    layer_over(DynStore::new(store.clone()))
        .namespace("downstream")
        .scope(|parts| Scope::new(&parts.headers["x-tenant"]))
        .on_outage(OnOutage::FailOpenRiskingDoubleEffects)
}

#[tokio::test]
async fn every_attempt_has_the_same_downstream_key_and_another_tenant_another() {
    let effects = Effects::new();
    let (keys, scripted) = (Arc::new(Mutex::new(Vec::new())), Scripted::over(store()));
    let (seen, ledger) = (Arc::clone(&keys), effects.clone());
    let router = app(&effects, move |request| {
        let attempt = request.extensions().get::<Attempt>().unwrap().clone();
        seen.lock().unwrap().push((attempt.downstream_key("charge"), attempt.is_guarded()));
        let status = if ledger.count() == 2 { StatusCode::OK } else { StatusCode::BAD_GATEWAY };
        async move { status }
    });
    let guard = tenants(&scripted);
    let server = Server::start(router.layer(guard.clone())).await;
    let of = |tenant: &str| post("/").key("order-1001").header("x-tenant", tenant);

    assert_eq!(of("alice").send(&server).await.status, 502);
    assert_eq!(of("alice").send(&server).await.status, 200);
    assert_eq!(of("bob").send(&server).await.status, 502);
    scripted.fault(Operation::Reserve, Fault::Error(StoreErrorKind::Unavailable));
    assert_eq!(of("alice").send(&server).await.status, 502);
    scripted.heal();

    let keys = keys.lock().unwrap().clone();
    let [first, second, bob, unguarded] = &keys[..] else { panic!("{keys:?}") };
    assert_eq!(first, second, "two attempts");
    assert_eq!((&first.0, unguarded.1), (&unguarded.0, false), "an attempt without a record");
    assert_ne!(first.0, bob.0, "two tenants");

    // The same operation outside of HTTP.
    let key = IdempotencyKey::parse(b"order-1001").unwrap();
    let operation = |attempt: Attempt| async move {
        Ok::<_, std::io::Error>([
            attempt.downstream_key("charge"),
            attempt.downstream_key("payout"),
        ])
    };
    let carol = Fingerprint::of_fields(["carol"]);
    let [charge, payout] =
        guard.execute(&Scope::new("carol"), &key, carol, operation).await.unwrap().value;
    assert_ne!(charge, payout, "two purposes");
    assert!(![&first.0, &bob.0].contains(&&charge));
}
