//! What becomes of an attempt whose process is gone, and of one that merely takes long.

use std::time::{Duration, SystemTime};

use serde_json::json;
use tokio::task::JoinSet;

use crate::support::pair::Pair;
use crate::support::sandbox::order_with;

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

#[tokio::test]
async fn a_process_that_is_killed_is_replaced_within_a_second_of_its_lease() {
    let pair = Pair::start(&["--lease", "300ms"]).await;
    let slow = order_with(json!({ "after_ms": 1000 }));
    tokio::select! {
        _ = pair.one.pay("k", &slow) => panic!("the slow payment ended first"),
        _ = pair.other.first_effect() => pair.one.signal("KILL"),
    }
    let killed = now_ms();
    let response = pair.next("k", &slow).await;
    assert_eq!(response.json()["attempt"], 2);
    assert_eq!(response.json()["previous"], "abandoned");
    let effects = pair.other.effects().await;
    assert_eq!(effects.len(), 2);
    let later = effects[1]["at"].as_u64().unwrap() - killed;
    assert!(later < 1300, "{later} ms");
}

#[tokio::test]
async fn an_abandoned_attempt_is_not_run_again_when_the_flag_says_so() {
    let pair = Pair::start(&["--lease", "300ms", "--on-abandoned", "refuse"]).await;
    let slow = order_with(json!({ "after_ms": 60_000 }));
    tokio::select! {
        _ = pair.one.pay("k", &slow) => panic!("the slow payment ended first"),
        _ = pair.other.first_effect() => pair.one.signal("KILL"),
    }
    for _ in 0..3 {
        pair.next("k", &slow).await.rejected_for_good("idempotency_outcome_unknown");
    }
    assert_eq!(pair.redis.statuses(), ["P"]);
    assert_eq!(pair.other.effects().await.len(), 1);
}

#[tokio::test]
async fn a_handler_of_5_seconds_under_a_lease_of_300_ms_runs_once_despite_requests_meanwhile() {
    let pair = Pair::start(&["--lease", "300ms"]).await;
    let slow = order_with(json!({ "after_ms": 5000 }));
    let (one, order) = (pair.one.clone(), slow.clone());
    let first = tokio::spawn(async move { one.pay("k", &order).await });
    pair.other.first_effect().await;
    let mut duplicates = JoinSet::new();
    for sandbox in [&pair.one, &pair.one, &pair.other, &pair.other] {
        let (sandbox, order) = (sandbox.clone(), slow.clone());
        duplicates.spawn(async move {
            let mut rejected = 0;
            loop {
                let response = sandbox.pay("k", &order).await;
                if response.status == 201 {
                    return (rejected, response);
                }
                response.rejected_for_now(409, "idempotency_key_in_flight");
                rejected += 1;
            }
        });
    }
    let first = first.await.unwrap();
    assert_eq!((first.status.as_u16(), &first.json()["attempt"]), (201, &json!(1)));
    let patience = Duration::from_secs(20);
    for (rejected, response) in tokio::time::timeout(patience, duplicates.join_all()).await.unwrap()
    {
        assert!(rejected > 10, "{rejected}");
        assert!(response.is_replay());
        assert_eq!(response.body, first.body);
    }
    assert_eq!(pair.other.effects().await.len(), 1);
}
