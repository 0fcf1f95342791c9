//! Each route has its own settings over one store.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use tower::ServiceExt;

use crate::support::{Effects, counting, layer};

/// With tokio's clock paused, by which the memory store judges.
#[tokio::test(start_paused = true)]
async fn clones_of_one_layer_have_retentions_of_their_own() {
    let effects = Effects::new();
    let guard = layer();
    let month = counting(&effects).layer(guard.clone().retention(Duration::from_hours(30 * 24)));
    let minutes = counting(&effects).layer(guard.clone().retention(Duration::from_mins(10)));
    let router = Router::new()
        .nest("/payments", month)
        .nest("/quotes", minutes)
        .nest("/others", counting(&effects).layer(guard));
    let ask = async |path: &str| {
        let request = Request::post(path)
            .header("x-idempotency-key", path.trim_matches('/'))
            .body(Body::empty());
        let response = router.clone().oneshot(request.unwrap()).await.unwrap();
        response.headers().contains_key("x-idempotent-result")
    };
    let steps = [
        (Duration::ZERO, [false, false, false]),
        (Duration::from_mins(9), [true, true, true]),
        (Duration::from_mins(2), [true, false, true]),
        (Duration::from_hours(24), [true, false, false]),
        (Duration::from_hours(24 * 28), [true, false, false]),
        (Duration::from_hours(24), [false, false, false]),
    ];
    for (pause, expected) in steps {
        tokio::time::advance(pause).await;
        let replayed = [ask("/payments").await, ask("/quotes").await, ask("/others").await];
        assert_eq!(replayed, expected, "after {pause:?}");
    }
}

/// They share the store, so a key of a request on one route is taken on the other.
/// Without the feature `axum`, the fingerprint has the path that a nested router leaves, which is
/// the same here.
#[cfg(feature = "axum")]
#[tokio::test]
async fn clones_of_one_layer_share_its_keys() {
    let effects = Effects::new();
    let guard = layer();
    let one = counting(&effects).layer(guard.clone().retention(Duration::from_hours(1)));
    let other = counting(&effects).layer(guard.retention(Duration::from_hours(2)));
    let server =
        crate::support::Server::start(Router::new().nest("/payments", one).nest("/quotes", other))
            .await;
    crate::support::post("/payments")
        .key("order-1001")
        .send(&server)
        .await
        .assert_first(200, "run 1");
    let rejected = crate::support::post("/quotes").key("order-1001").send(&server).await;
    rejected.assert_rejected(409, "idempotency_key_reused");
    assert_eq!(effects.count(), 1);
}
