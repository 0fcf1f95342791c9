//! Responses that are encrypted, compressed or both, over every store.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use tower_idempotency::store::{DynStore, State, StoreErrorKind, StoredBody};
use tower_idempotency::{
    EncryptionKeys, ExecuteError, IdempotencyKey, InFlight, OnFailed, OnOutage, Rejection, Scope,
};

use crate::support::databases::Lite;
use crate::support::given::{Given, Kind, execute, over_every_store};
use crate::support::{
    Effects, Frames, Gate, Server, TestLayer, WireResponse, app, gated, http2_response, post,
};

const SIZE: usize = 256 << 10;

fn january() -> EncryptionKeys {
    EncryptionKeys::new(1, [1; 32])
}

/// Under the number of the first one, so that only the cipher can tell.
fn wrong() -> EncryptionKeys {
    EncryptionKeys::new(1, [2; 32])
}

async fn plain(given: &Given) -> TestLayer {
    given.layer().await.namespace("packed").scope(|_| Scope::anonymous())
}

/// The layer with its responses compressed, encrypted, and both.
async fn packings(given: &Given) -> [(&'static str, TestLayer); 3] {
    [
        ("compressed", plain(given).await.compress_above(64)),
        ("encrypted", plain(given).await.encrypt(january())),
        ("both", plain(given).await.encrypt(january()).compress_above(64)),
    ]
}

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[3]
    };
    std::iter::repeat_with(byte).take(length).collect()
}

fn body(what: &str) -> Vec<u8> {
    match what {
        "/empty" => Vec::new(),
        "/binary" => (0..=255).collect(),
        "/zeros" => vec![0; SIZE],
        "/noise" => noise(SIZE),
        "/text" => "{\"amount\":1200}\r\n".repeat(SIZE / 17).into_bytes(),
        _ => b"short".to_vec(),
    }
}

/// A router that responds with the body that the path names, with trailers and headers that occur
/// twice.
fn responses(effects: &Effects, status: StatusCode) -> Router {
    app(effects, move |request| async move {
        let mut trailers = HeaderMap::new();
        trailers.append("x-checksum", HeaderValue::from_static("a"));
        trailers.append("x-checksum", HeaderValue::from_static("b"));
        let body = body(request.uri().path());
        let whole = if body.is_empty() {
            Body::empty()
        } else {
            Body::new(Frames::known(&[&body]).trailers(trailers))
        };
        let mut response = Response::new(whole);
        *response.status_mut() = status;
        for value in [b"one".as_slice(), b"caf\xe9", b"", b"one"] {
            let name = HeaderName::from_static("x-many");
            response.headers_mut().append(name, HeaderValue::from_bytes(value).unwrap());
        }
        response
    })
}

async fn a_replay_is_byte_exact(kind: Kind) {
    let given = kind.start().await;
    for (packing, guard) in packings(&given).await {
        let effects = Effects::new();
        let server = Server::start(responses(&effects, StatusCode::CREATED).layer(guard)).await;
        for (index, what) in
            ["/empty", "/short", "/binary", "/zeros", "/noise", "/text"].into_iter().enumerate()
        {
            let call = post(what)
                .key(format!("{packing}-{}", &what[1..]))
                .header("X-Request-Id", "request-1");
            let first = call.send(&server).await;
            assert!(
                first.status == 201 && !first.is_replay() && first.body == body(what),
                "{packing} {what}"
            );
            for _ in 0..2 {
                let replay = call.send(&server).await;
                replay.assert_replays(&first);
                assert_eq!(replay.all("x-many"), first.all("x-many"));
                assert_eq!(replay.header("x-original-request-id"), Some("request-1"));
                assert_eq!(replay.header("x-idempotent-body"), None);
            }
            assert_eq!(effects.count(), index + 1);
        }
        let key: &'static str = packing;
        let (_, first) = http2_response(&server, key).await;
        let (head, again) = http2_response(&server, key).await;
        assert_eq!(head.headers["x-idempotent-result"], "true");
        assert!(first.trailers().is_some() && first.trailers() == again.trailers());
        assert_eq!(first.to_bytes(), again.to_bytes());
    }
}

async fn another_process_reads_what_this_one_wrote(kind: Kind) {
    let given = kind.start().await;
    for ((packing, one), (_, other)) in
        packings(&given).await.into_iter().zip(packings(&given).await)
    {
        let effects = Effects::new();
        let one = Server::start(responses(&effects, StatusCode::OK).layer(one)).await;
        let other = Server::start(responses(&effects, StatusCode::OK).layer(other)).await;
        let call = post("/text").key(packing);
        let first = call.send(&one).await;
        call.send(&other).await.assert_replays(&first);
        post("/zeros")
            .key(packing)
            .send(&other)
            .await
            .assert_rejected(409, "idempotency_key_reused");
        assert_eq!(effects.count(), 1, "{packing}");
    }
}

async fn with_the_wrong_key_nothing_runs_and_with_the_right_one_it_is_replayed(kind: Kind) {
    let given = kind.start().await;
    let effects = Effects::new();
    let right = plain(&given).await.encrypt(january());
    let right = Server::start(responses(&effects, StatusCode::OK).layer(right)).await;
    let call = post("/text").key("order-1001");
    let first = call.send(&right).await;
    assert_eq!((first.status, effects.count()), (200, 1));

    let wait = InFlight::Wait(Duration::from_mins(1));
    let blind = [
        plain(&given).await.encrypt(wrong()),
        plain(&given).await.encrypt(wrong()).in_flight(wait),
        plain(&given).await.encrypt(wrong()).on_outage(OnOutage::FailOpenRiskingDoubleEffects),
        plain(&given).await.encrypt(EncryptionKeys::new(2, [1; 32])),
        plain(&given).await,
    ];
    for blind in blind {
        let blind = Server::start(responses(&effects, StatusCode::OK).layer(blind)).await;
        for _ in 0..2 {
            call.send(&blind).await.assert_rejected(503, "idempotency_store_unavailable");
        }
        // It can still work with keys of its own.
        assert_eq!(effects.count(), 1);
    }
    call.send(&right).await.assert_replays(&first);
    let ring =
        plain(&given).await.encrypt(EncryptionKeys::new(2, [3; 32]).reading(1, [1; 32]).unwrap());
    let ring = Server::start(responses(&effects, StatusCode::OK).layer(ring)).await;
    call.send(&ring).await.assert_replays(&first);
    assert_eq!(effects.count(), 1);
}

async fn plain_responses_are_rejected_unless_they_are_accepted(kind: Kind) {
    let given = kind.start().await;
    let effects = Effects::new();
    for (name, before) in
        [("plain", plain(&given).await), ("compressed", plain(&given).await.compress_above(64))]
    {
        let runs = effects.count() + 1;
        let call = post("/text").key(name);
        let before = Server::start(responses(&effects, StatusCode::OK).layer(before)).await;
        let first = call.send(&before).await;
        let reading = plain(&given).await.encrypt(january().accept_plain());
        let reading = Server::start(responses(&effects, StatusCode::OK).layer(reading)).await;
        call.send(&reading).await.assert_replays(&first);
        let rejecting = plain(&given).await.encrypt(january());
        let rejecting = Server::start(responses(&effects, StatusCode::OK).layer(rejecting)).await;
        call.send(&rejecting).await.assert_rejected(503, "idempotency_store_unavailable");
        assert_eq!(effects.count(), runs);
    }
}

async fn a_failure_is_packed_too(kind: Kind) {
    let given = kind.start().await;
    for (packing, guard) in packings(&given).await {
        let effects = Effects::new();
        let guard = guard.on_failed(OnFailed::Replay);
        let server = Server::start(responses(&effects, StatusCode::BAD_GATEWAY).layer(guard)).await;
        let call = post("/text").key(packing);
        let first = call.send(&server).await;
        assert_eq!((first.status, first.is_replay()), (502, false));
        call.send(&server).await.assert_replays(&first);
        assert_eq!(effects.count(), 1);
    }
}

async fn a_waiter_gets_the_response(kind: Kind) {
    let given = kind.start().await;
    for (packing, guard) in packings(&given).await {
        let (effects, gate) = (Effects::new(), Gate::new());
        let guard = guard.in_flight(InFlight::Wait(Duration::from_mins(1)));
        let server = Server::start(gated(&effects, &gate).layer(guard)).await;
        let call = post("/").key(packing);
        let running = call.begin(&server, usize::MAX).await;
        effects.reached(1).await;
        let mut waiting = Vec::new();
        for _ in 0..3 {
            waiting.push(call.begin(&server, usize::MAX).await);
        }
        gate.open();
        let first: WireResponse = call.finish(running).await;
        first.assert_first(200, "done");
        for waiting in waiting {
            call.finish(waiting).await.assert_replays(&first);
        }
        assert_eq!(effects.count(), 1);
    }
}

async fn inspect_shows_the_response_to_a_caller_with_the_key(kind: Kind) {
    let given = kind.start().await;
    let key = IdempotencyKey::parse(b"order-1001").unwrap();
    let effects = Effects::new();
    let guard = plain(&given).await.encrypt(january()).compress_above(64);
    let server = Server::start(responses(&effects, StatusCode::OK).layer(guard.clone())).await;
    post("/text").key("order-1001").header("X-Request-Id", "request-1").send(&server).await;
    let record = guard.inspect(&Scope::anonymous(), &key).await.unwrap().unwrap();
    let State::Success(outcome) = record.state else { panic!("{record:?}") };
    assert!(
        matches!(&outcome.body, StoredBody::Whole { bytes, trailers: Some(_) } if **bytes == body("/text"))
    );
    assert_eq!(outcome.headers.get_all("x-many").iter().count(), 4);
    assert_eq!(outcome.request_id.unwrap(), "request-1");
    let blind = plain(&given).await.encrypt(wrong());
    assert_eq!(
        blind.inspect(&Scope::anonymous(), &key).await.unwrap_err().kind(),
        StoreErrorKind::Decrypt
    );
}

async fn the_result_of_an_execution_is_packed(kind: Kind) {
    let given = kind.start().await;
    for (packing, guard) in packings(&given).await {
        let guard = guard.namespace(packing);
        let text = "payout ".repeat(1000);
        for is_replay in [false, true] {
            let given = text.clone();
            let done = execute(&guard, "payout", |_| async { Ok(given) }).await.unwrap();
            assert_eq!((done.value.as_str(), done.is_replay), (&*text, is_replay));
        }
        if packing != "compressed" {
            let blind = plain(&given).await.namespace(packing).encrypt(wrong());
            let rejected =
                execute::<String, _>(&blind, "payout", |_| async { panic!("it runs again") }).await;
            let Err(ExecuteError::Rejected(Rejection::StoreUnavailable { kind, .. })) = rejected
            else {
                panic!("{rejected:?}")
            };
            assert_eq!(kind, StoreErrorKind::Decrypt);
        }
    }
}

over_every_store! {
    a_replay_is_byte_exact
    another_process_reads_what_this_one_wrote
    with_the_wrong_key_nothing_runs_and_with_the_right_one_it_is_replayed
    plain_responses_are_rejected_unless_they_are_accepted
    a_failure_is_packed_too
    a_waiter_gets_the_response
    inspect_shows_the_response_to_a_caller_with_the_key
    the_result_of_an_execution_is_packed
}

/// An attacker who can write into the table cannot make one request get the response of another.
#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_was_moved_to_another_record_is_not_replayed() {
    use crate::support::databases::Base;

    let base = Lite::start().await;
    let guard = || async {
        let layer = tower_idempotency::IdempotencyLayer::new(DynStore::new(base.leasing().await));
        layer
            .scope(|_| Scope::anonymous())
            .encrypt(january())
            .store_timeout(Duration::from_secs(10))
    };
    let effects = Effects::new();
    let server = Server::start(responses(&effects, StatusCode::OK).layer(guard().await)).await;
    let calls = [post("/short").key("of-alice"), post("/short").key("of-bob")];
    let firsts = [calls[0].send(&server).await, calls[1].send(&server).await];
    assert_eq!(effects.count(), 2);

    let changes = [
        "UPDATE idempotency_records SET response_body = \
         (SELECT copy.response_body FROM copy WHERE copy.key <> idempotency_records.key)",
        "UPDATE idempotency_records SET response_status = 201",
        "UPDATE idempotency_records SET response_body = substr(response_body, 1, length(response_body) - 1)",
        "UPDATE idempotency_records SET response_body = CAST(response_body || x'00' AS BLOB)",
        "UPDATE idempotency_records SET response_body = CAST('E' AS BLOB)",
        "UPDATE idempotency_records SET response_body = x''",
    ];
    for change in changes {
        base.ask("DROP TABLE IF EXISTS copy").await;
        base.ask("CREATE TABLE copy AS SELECT key, response_status, response_body FROM idempotency_records")
            .await;
        base.ask(change).await;
        for call in &calls {
            call.send(&server).await.assert_rejected(503, "idempotency_store_unavailable");
        }
        assert_eq!(effects.count(), 2, "{change}");
        base.ask(
            "UPDATE idempotency_records SET (response_status, response_body) = (SELECT response_status, response_body \
             FROM copy WHERE copy.key = idempotency_records.key)",
        )
        .await;
        for (call, first) in calls.iter().zip(&firsts) {
            call.send(&server).await.assert_replays(first);
        }
    }
}
