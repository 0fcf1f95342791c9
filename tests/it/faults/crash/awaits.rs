//! A process killed while it reads the body, reserves the key, calls the handler, or settles the
//! record.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::pair::Pair;
use crate::support::patiently;
use crate::support::sandbox::{order, order_with};
use crate::support::wire::{State, Way, Wire};

const LEASE: [&str; 2] = ["--lease", "300ms"];

/// Renews once a second, so that an earlier message is not a renewal.
const LONG_LEASE: [&str; 2] = ["--lease", "3s"];

const HOLD_REQUESTS: State = State::Open { requests: Way::Hold, replies: Way::Pass };
const HOLD_REPLIES: State = State::Open { requests: Way::Pass, replies: Way::Hold };

/// The next request is the first attempt, and the only effect is its own.
async fn expect_first_attempt(pair: &Pair, order: &Value) {
    assert_eq!(pair.redis.size(), 0);
    let response = pair.next("k", order).await;
    assert_eq!(response.status, 201);
    assert_eq!(
        (&response.json()["attempt"], &response.json()["previous"]),
        (&json!(1), &json!(null))
    );
    assert!(!response.is_replay());
    assert_eq!(pair.other.effects().await.len(), 1);
}

/// A pending record is left, and the next request is attempt 2 after an abandoned one.
async fn expect_second_attempt(pair: &Pair, order: &Value, effects: usize) {
    assert_eq!(pair.redis.statuses(), ["P"]);
    let response = pair.next("k", order).await;
    assert_eq!(response.status, 201);
    assert_eq!(
        (&response.json()["attempt"], &response.json()["previous"]),
        (&json!(2), &json!("abandoned"))
    );
    assert_eq!(pair.redis.statuses(), ["S"]);
    assert_eq!(pair.other.effects().await.len(), effects);
}

/// Pays at the first sandbox, and kills it at `moment`, which must come before the response.
async fn killed_when(pair: &Pair, order: &Value, moment: impl Future<Output = ()>) {
    tokio::select! {
        response = pair.one.pay("k", order) => panic!("the response came first: {response:?}"),
        () = patiently(moment) => pair.one.signal("KILL"),
    }
}

/// Waits until the sandbox has sent something more to the store, whether or not that arrives.
async fn sends(wire: &Wire) {
    let before = wire.seen().requests;
    wire.reached(|seen| seen.requests > before).await;
}

/// Waits until the store has sent one more reply, whether or not it arrives.
async fn store_replied(wire: &Wire) {
    let before = wire.seen().replies;
    wire.reached(|seen| seen.replies > before).await;
}

#[tokio::test]
async fn at_await_1_with_half_of_the_body_nothing_is_left() {
    let pair = Pair::start(&LEASE).await;
    let body = order().to_string();
    let head = format!(
        "POST /payments HTTP/1.1\r\nhost: localhost\r\nx-idempotency-key: k\r\nexpect: 100-continue\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(pair.one.address()).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    // Said when the body is asked for, which is when the layer reads it.
    let mut go_on = [0; 12];
    patiently(stream.read_exact(&mut go_on)).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100");
    stream.write_all(&body.as_bytes()[..body.len() / 2]).await.unwrap();
    pair.one.signal("KILL");
    let _ = patiently(stream.read_to_end(&mut Vec::new())).await;
    expect_first_attempt(&pair, &order()).await;
}

#[tokio::test]
async fn at_await_2_before_the_reservation_arrives_nothing_is_left() {
    let (pair, wire) = Pair::start_apart(&LEASE).await;
    wire.set(HOLD_REQUESTS);
    killed_when(&pair, &order(), sends(&wire)).await;
    expect_first_attempt(&pair, &order()).await;
}

#[tokio::test]
async fn at_await_2_before_the_reservation_is_known_an_attempt_is_left_that_did_nothing() {
    let (pair, wire) = Pair::start_apart(&LEASE).await;
    wire.set(HOLD_REPLIES);
    killed_when(&pair, &order(), store_replied(&wire)).await;
    assert_eq!(pair.other.effects().await.len(), 0);
    expect_second_attempt(&pair, &order(), 1).await;
}

#[tokio::test]
async fn at_await_3_before_the_effect_the_next_attempt_has_the_only_one() {
    let (pair, wire) = Pair::start_apart(&LEASE).await;
    let order = order_with(json!({ "delay_ms": 1500 }));
    killed_when(&pair, &order, async {
        store_replied(&wire).await;
        // The first renewal: the handler runs.
        sends(&wire).await;
    })
    .await;
    assert_eq!(pair.other.effects().await.len(), 0);
    expect_second_attempt(&pair, &order, 1).await;
}

#[tokio::test]
async fn at_await_3_after_the_effect_the_next_attempt_has_a_second_one() {
    let pair = Pair::start(&LEASE).await;
    let order = order_with(json!({ "after_ms": 1500 }));
    killed_when(&pair, &order, async { drop(pair.other.first_effect().await) }).await;
    expect_second_attempt(&pair, &order, 2).await;
}

/// Pays at the first sandbox, changes the network after the effect, and kills it when `moment` has
/// come.
async fn killed_settling(pair: &Pair, wire: &Wire, state: State, moment: impl Future<Output = ()>) {
    let order = settling();
    killed_when(pair, &order, async {
        pair.other.first_effect().await;
        wire.set(state);
        moment.await;
    })
    .await;
}

fn settling() -> Value {
    order_with(json!({ "after_ms": 700 }))
}

#[tokio::test]
async fn at_await_5_before_the_settling_write_arrives_the_attempt_is_as_good_as_cut_off() {
    let (pair, wire) = Pair::start_apart(&LONG_LEASE).await;
    killed_settling(&pair, &wire, HOLD_REQUESTS, sends(&wire)).await;
    expect_second_attempt(&pair, &settling(), 2).await;
}

#[tokio::test]
async fn at_await_5_after_the_settling_write_the_undelivered_response_is_replayed() {
    let (pair, wire) = Pair::start_apart(&LONG_LEASE).await;
    killed_settling(&pair, &wire, HOLD_REPLIES, store_replied(&wire)).await;
    assert_eq!(pair.redis.statuses(), ["S"]);
    let response = pair.next("k", &settling()).await;
    assert!(response.is_replay());
    assert_eq!((response.status.as_u16(), &response.json()["attempt"]), (201, &json!(1)));
    let effects = pair.other.effects().await;
    assert_eq!((effects.len(), &effects[0]["id"]), (1, &response.json()["id"]));
}
