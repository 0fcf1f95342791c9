//! Section 3: the status of a record.

use axum::Router;
use axum::body::Body;
use http::{Response, StatusCode};
use tower_idempotency::store::{Record, RecordStatus, State};
use tower_idempotency::{
    Attempt, OnAbandoned, OnFailed, PreviousAttempt, ResponseClass, ResponseDirective,
};

use super::{CutOff, KEY, by_path, record_of, rejected, responding};
use crate::support::{Effects, Gate, Server, TestLayer, app, gated, layer, post};

/// The statuses that leave no record.
const NOTHING_HAPPENED: [u16; 24] = [
    307, 308, 400, 401, 403, 405, 406, 407, 411, 412, 413, 414, 415, 417, 421, 422, 423, 424, 425,
    426, 428, 429, 431, 511,
];

/// A server, and a clone of its layer to inspect the store with.
async fn watched(router: Router, guard: TestLayer) -> (Server, TestLayer) {
    (Server::start(router.layer(guard.clone())).await, guard)
}

async fn word(guard: &TestLayer, key: &str) -> Option<String> {
    record_of(guard, key).await.map(|record| record.status().to_string())
}

#[tokio::test]
async fn pending_becomes_success_with_a_definitive_response_which_is_replayed() {
    let (effects, gate) = (Effects::new(), Gate::new());
    let (server, guard) = watched(gated(&effects, &gate), layer()).await;
    assert_eq!(word(&guard, KEY).await, None);
    let call = post("/").key(KEY);
    let running = call.begin(&server, usize::MAX).await;
    effects.reached(1).await;
    let record = record_of(&guard, KEY).await.unwrap();
    assert_eq!((record.status(), record.attempt), (RecordStatus::Pending, 1));
    assert_eq!(record.status().to_string(), "pending");
    assert!(matches!(record.state, State::Pending { abandoned: false }));
    gate.open();
    let first = call.finish(running).await;
    assert_eq!(word(&guard, KEY).await.unwrap(), "success");
    call.send(&server).await.assert_replays(&first);
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn pending_becomes_failed_when_the_attempt_ends_without_a_response() {
    for (path, status) in [("/500", 500), ("/503", 503), ("/599", 599), ("/panic", 0)] {
        let effects = Effects::new();
        let (server, guard) = watched(by_path(&effects), layer()).await;
        assert_eq!(post(path).key(KEY).send(&server).await.status, status);
        let record = record_of(&guard, KEY).await.unwrap();
        assert_eq!((&*record.status().to_string(), record.attempt), ("failed", 1), "{path}");
        assert_eq!(effects.count(), 1);
    }
}

#[tokio::test]
async fn pending_becomes_failed_when_the_inner_service_errs() {
    let effects = Effects::new();
    let ledger = effects.clone();
    let inner = tower::service_fn(move |request: http::Request<Body>| {
        ledger.add(request.into_parts().0);
        async { Err::<Response<Body>, _>(std::io::Error::other("the inner service broke")) }
    });
    let guard = layer();
    let stack = tower::ServiceBuilder::new()
        .map_request(|request: http::Request<hyper::body::Incoming>| request.map(Body::new))
        .layer(guard.clone())
        .service(inner);
    let server = Server::start(stack).await;
    for attempt in 1..=2 {
        assert_eq!(
            post("/").key(KEY).send(&server).await.status,
            0,
            "the error reaches the server, which hangs up"
        );
        let record = record_of(&guard, KEY).await.unwrap();
        assert_eq!((record.status(), record.attempt), (RecordStatus::Failed, attempt));
    }
    assert_eq!(
        effects.attempts(),
        [(1, None), (2, Some(PreviousAttempt::Failed { status: None }))]
    );
}

#[tokio::test]
async fn by_default_2xx_3xx_and_4xx_are_success() {
    let effects = Effects::new();
    let (server, guard) = watched(by_path(&effects), layer()).await;
    let mut runs = 0;
    for status in (200..500).filter(|status| *status != 408 && !NOTHING_HAPPENED.contains(status)) {
        let (key, call) = (format!("order-{status}"), post(&format!("/{status}")));
        let first = call.clone().key(&key).send(&server).await;
        assert_eq!((first.status, first.is_replay()), (status, false));
        assert_eq!(word(&guard, &key).await.unwrap(), "success", "{status}");
        call.key(&key).send(&server).await.assert_replays(&first);
        runs += 1;
        assert_eq!(effects.count(), runs, "{status}");
    }
}

#[tokio::test]
async fn by_default_those_that_say_nothing_happened_leave_no_record() {
    let effects = Effects::new();
    let (server, guard) = watched(by_path(&effects), layer()).await;
    for (index, status) in NOTHING_HAPPENED.into_iter().enumerate() {
        let key = format!("order-{status}");
        let first = post(&format!("/{status}")).key(&key).send(&server).await;
        assert_eq!((first.status, first.is_replay()), (status, false));
        assert_eq!(word(&guard, &key).await, None, "{status}");
        // A client that mends its request goes on under the same key.
        let mended = post("/201").key(&key).body("mended").send(&server).await;
        assert_eq!((mended.status, mended.is_replay()), (201, false));
        assert_eq!(effects.count(), 2 * (index + 1));
    }
    assert!(effects.attempts().iter().all(|attempt| *attempt == (1, None)));
}

#[tokio::test]
async fn by_default_408_and_5xx_are_failed() {
    let effects = Effects::new();
    let (server, guard) = watched(by_path(&effects), layer()).await;
    for status in (500..600).filter(|status| *status != 511).chain([408]) {
        let key = format!("order-{status}");
        let first = post(&format!("/{status}")).key(&key).send(&server).await;
        assert_eq!((first.status, first.is_replay()), (status, false));
        assert_eq!(word(&guard, &key).await.unwrap(), "failed", "{status}");
    }
    assert_eq!(effects.count(), 100);
}

#[cfg(feature = "strict-keys")]
#[tokio::test]
async fn the_ietf_profile_stores_the_other_4xx() {
    let effects = Effects::new();
    let (server, guard) = watched(by_path(&effects), layer().ietf()).await;
    for (index, status) in (400..500).filter(|status| *status != 408).enumerate() {
        let key = format!("order-{status}");
        let call = post(&format!("/{status}")).header("Idempotency-Key", format!("\"{key}\""));
        let first = call.send(&server).await;
        assert_eq!((first.status, first.is_replay()), (status, false));
        assert_eq!(word(&guard, &key).await.unwrap(), "success", "{status}");
        call.send(&server).await.assert_replays(&first);
        assert_eq!(effects.count(), index + 1);
    }
    for (status, expected) in [(307, None), (308, None), (511, None), (408, Some("failed"))] {
        let key = format!("order-{status}");
        let call = post(&format!("/{status}")).header("Idempotency-Key", format!("\"{key}\""));
        assert_eq!(call.send(&server).await.status, status);
        assert_eq!(word(&guard, &key).await.as_deref(), expected, "{status}");
    }
}

#[tokio::test]
async fn a_conflict_that_says_ask_again_leaves_no_record() {
    for name in ["Retry-After", "X-Should-Retry"] {
        let effects = Effects::new();
        let value = if name == "Retry-After" { "1" } else { "true" };
        let response = move || {
            Response::builder().status(409).header(name, value).body(Body::from("busy")).unwrap()
        };
        let (server, guard) = watched(responding(&effects, response), layer()).await;
        for _ in 0..2 {
            post("/").key(KEY).send(&server).await.assert_first(409, "busy");
            assert_eq!(word(&guard, KEY).await, None);
        }
        assert_eq!(effects.attempts(), [(1, None), (1, None)]);
    }
}

#[tokio::test]
async fn a_classifier_replaces_this() {
    let effects = Effects::new();
    let guard = layer().classify(|response| match response.status.as_u16() {
        200 => ResponseClass::Discard,
        404 => ResponseClass::Failed,
        500 => ResponseClass::Success,
        _ => ResponseClass::of(response.status),
    });
    let (server, guard) = watched(by_path(&effects), guard).await;
    let expected =
        [(200, None), (404, Some("failed")), (500, Some("success")), (201, Some("success"))];
    for (status, expected) in expected {
        let key = format!("order-{status}");
        let first = post(&format!("/{status}")).key(&key).send(&server).await;
        assert_eq!((first.status, first.is_replay()), (status, false));
        assert_eq!(word(&guard, &key).await.as_deref(), expected, "{status}");
    }
    assert!(post("/500").key("order-500").send(&server).await.is_replay());
    assert_eq!(effects.count(), 4);
}

#[tokio::test]
async fn a_handler_overrides_it_for_one_response() {
    let directives = [
        (ResponseDirective::success(), 500, Some("success")),
        (ResponseDirective::discard(), 200, None),
        (ResponseDirective::failed(), 200, Some("failed")),
        (ResponseDirective::new(), 200, Some("success")),
    ];
    for (directive, status, expected) in directives {
        let effects = Effects::new();
        let response = move || {
            let mut response = Response::new(Body::from("said"));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            response.extensions_mut().insert(directive);
            response
        };
        // It comes before the classifier, too.
        let guard = layer().classify(|response| {
            if response.status == 500 { ResponseClass::Failed } else { ResponseClass::Success }
        });
        let (server, guard) = watched(responding(&effects, response), guard).await;
        let first = post("/").key(KEY).send(&server).await;
        first.assert_first(status, "said");
        assert_eq!(word(&guard, KEY).await.as_deref(), expected, "{directive:?}");
        let again = post("/").key(KEY).send(&server).await;
        assert_eq!(again.is_replay(), expected == Some("success"), "{directive:?}");
        assert_eq!((again.status, again.text()), (status, "said"));
        assert_eq!(effects.count(), if expected == Some("success") { 1 } else { 2 });
    }
}

#[tokio::test]
async fn a_pending_record_whose_lease_has_lapsed_is_abandoned() {
    let cut = CutOff::of(&post("/200").key(KEY)).await;
    let Record { attempt, state, .. } = record_of(&cut.layer, KEY).await.unwrap();
    assert!(matches!(state, State::Pending { abandoned: true }), "{state:?}");
    assert_eq!(attempt, 1);
}

#[tokio::test]
async fn failed_runs_again_by_default() {
    let effects = Effects::new();
    let (server, guard) = watched(by_path(&effects), layer()).await;
    for attempt in 1..=3 {
        let response = post("/500").key(KEY).send(&server).await;
        assert_eq!((response.status, response.is_replay()), (500, false));
        assert_eq!(record_of(&guard, KEY).await.unwrap().attempt, attempt);
    }
    assert_eq!(effects.count(), 3);
    // Only with the same fingerprint.
    let other = post("/500").key(KEY).body("other").send(&server).await;
    assert_eq!(rejected(&other, 409, "idempotency_key_reused"), [None, Some("false"), None]);
    assert_eq!(effects.count(), 3);
}

#[tokio::test]
async fn failed_is_replayed_if_policy_says_so() {
    let effects = Effects::new();
    let response = || {
        Response::builder().status(500).header("X-Why", "broken").body(Body::from("sorry")).unwrap()
    };
    let (server, _) =
        watched(responding(&effects, response), layer().on_failed(OnFailed::Replay)).await;
    let first = post("/").key(KEY).send(&server).await;
    first.assert_first(500, "sorry");
    let replay = post("/").key(KEY).send(&server).await;
    replay.assert_replays(&first);
    assert_eq!(replay.header("x-why"), Some("broken"));
    assert_eq!(effects.count(), 1);

    // A panic left nothing to replay.
    let effects = Effects::new();
    let (server, _) = watched(by_path(&effects), layer().on_failed(OnFailed::Replay)).await;
    assert_eq!(post("/panic").key(KEY).send(&server).await.status, 0);
    let retry = post("/panic").key(KEY).send(&server).await;
    assert_eq!(rejected(&retry, 409, "idempotency_attempt_failed"), [None, Some("false"), None]);
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn failed_is_rejected_if_policy_says_so() {
    let effects = Effects::new();
    let (server, _) = watched(by_path(&effects), layer().on_failed(OnFailed::Reject)).await;
    assert_eq!(post("/500").key(KEY).send(&server).await.status, 500);
    let retry = post("/500").key(KEY).send(&server).await;
    assert_eq!(rejected(&retry, 409, "idempotency_attempt_failed"), [None, Some("false"), None]);
    assert_eq!(retry.assert_rejected(409, "idempotency_attempt_failed")["original_status"], 500);
    assert_eq!(effects.count(), 1);
}

#[tokio::test]
async fn abandoned_runs_again_by_default() {
    let call = post("/200").key(KEY);
    let cut = CutOff::of(&call).await;
    let effects = Effects::new();
    let (server, guard) = watched(by_path(&effects), cut.layer).await;
    // Another request does not get at it.
    let other = call.clone().body("other").send(&server).await;
    assert_eq!(rejected(&other, 409, "idempotency_key_reused"), [None, Some("false"), None]);
    let first = call.send(&server).await;
    first.assert_first(200, "");
    assert_eq!(word(&guard, KEY).await.unwrap(), "success");
    call.send(&server).await.assert_replays(&first);
    assert_eq!(effects.attempts(), [(2, Some(PreviousAttempt::Abandoned))]);
}

#[tokio::test]
async fn abandoned_is_rejected_if_policy_says_so() {
    let call = post("/200").key(KEY);
    let cut = CutOff::of(&call).await;
    let effects = Effects::new();
    let (server, guard) =
        watched(by_path(&effects), cut.layer.on_abandoned(OnAbandoned::Reject)).await;
    let response = call.send(&server).await;
    assert_eq!(
        rejected(&response, 409, "idempotency_outcome_unknown"),
        [None, Some("false"), None]
    );
    assert_eq!(word(&guard, KEY).await.unwrap(), "pending");
    assert_eq!(effects.count(), 0);
}

#[tokio::test]
async fn when_it_runs_again_the_handler_can_see_attempt_and_previous() {
    let effects = Effects::new();
    let told = app(&effects, |request| async move {
        let attempt = request.extensions().get::<Attempt>().unwrap();
        let status = match attempt.number() {
            1 => StatusCode::BAD_GATEWAY,
            2 => panic!("as it was told to"),
            _ => StatusCode::OK,
        };
        (status, format!("{} {:?}", attempt.number(), attempt.previous()))
    });
    let (server, _) = watched(told, layer()).await;
    let call = post("/").key(KEY);
    call.send(&server).await.assert_first(502, "1 None");
    assert_eq!(call.send(&server).await.status, 0);
    call.send(&server).await.assert_first(200, "3 Some(Failed { status: None })");
    let failed = |status| Some(PreviousAttempt::Failed { status });
    assert_eq!(
        effects.attempts(),
        [(1, None), (2, failed(Some(StatusCode::BAD_GATEWAY))), (3, failed(None))]
    );
}
