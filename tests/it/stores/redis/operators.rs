//! What operators ask of Redis besides what every store promises them.

use std::collections::BTreeSet;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use tower_idempotency::RedisStore;
use tower_idempotency::store::operator::{
    Cursor, Intervened, ListFilter, ListRequest, RecordState, StateFilter,
};
use tower_idempotency::store::{Settlement, State, StorageKey, Store, StoreErrorKind};

use crate::support::redis::operated::{
    Pages, STAYS, carried_out, counted, failed, release, reserved, respond, seen,
};
use crate::support::redis::traffic::{RETENTION, execute, request, response, stored_body};
use crate::support::redis::{Cluster, RedisServer};
use crate::support::wire::{State as Network, Way, Wire};

fn start() -> (RedisServer, RedisStore) {
    let server = RedisServer::start();
    let store = RedisStore::open(&server.url()).unwrap();
    (server, store)
}

async fn plant(store: &RedisStore, count: usize) -> BTreeSet<StorageKey> {
    let mut keys = BTreeSet::new();
    for number in 0..count {
        keys.insert(failed(store, &format!("key-{number}")).await.unwrap());
    }
    keys
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_any_size_have_each_record_once() {
    let (_server, store) = start();
    let keys = plant(&store, 1500).await;
    for limit in [1, 2, 7, 100, 1000] {
        let records = Pages::of(&store, ListFilter::new(), limit).all().await;
        assert_eq!(records.len(), keys.len(), "pages of {limit}");
        assert_eq!(records.iter().map(|info| info.key).collect::<BTreeSet<_>>(), keys);
    }
    // Few of many.
    for number in 0..5 {
        reserved(&store, &format!("running-{number}")).await.unwrap();
    }
    let running = ListFilter::new().state(StateFilter::InFlight);
    assert_eq!(Pages::of(&store, running, 100).all().await.len(), 5);
    let stats = counted(&store).await;
    assert_eq!((stats.failed.count, stats.in_flight.count, stats.in_doubt.count), (1500, 5, 1500));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_takes_forty_steps_at_most() {
    let (server, store) = start();
    plant(&store, 100).await;
    server.tell::<()>("CONFIG RESETSTAT");
    // The names of others, among which there are few records.
    let fill = "for number = 1, 50000 do redis.call('SET', 'other:' .. number, number) end";
    let client = redis::Client::open(server.url()).unwrap();
    redis::cmd("EVAL").arg(fill).arg(0).exec(&mut client.get_connection().unwrap()).unwrap();
    let mut pages = Pages::of(&store, ListFilter::new(), 1000);
    let mut count = 0;
    while pages.turn().await.unwrap() {
        count += 1;
        let calls = server.tell::<String>("INFO commandstats");
        let scans =
            calls.lines().find_map(|line| line.strip_prefix("cmdstat_scan:calls=")).unwrap();
        let scans: usize = scans.split(',').next().unwrap().parse().unwrap();
        assert!(scans <= 40 * count, "{scans} steps for {count} pages");
    }
    assert!(count >= 3, "{count} pages");
    assert_eq!(pages.records.len(), 100);
}

#[tokio::test]
async fn a_list_has_records_only_and_of_this_store_only() {
    let (server, store) = start();
    let store = store.prefix("shop[1]*:");
    let other = store.clone().prefix("shop1xx:");
    execute(&other, "other", "paid").await.unwrap();
    // A body apart, and a history.
    let large = vec![b'x'; 5000];
    execute(&store, "large", large.clone()).await.unwrap();
    let settled = failed(&store, "settled").await.unwrap();
    carried_out(&store, &respond(&seen(&store, &settled).await, 1, &response(large))).await;
    // A name with another use, a damaged record, and one that another program wrote.
    let name = |digit: &str| format!("shop[1]*:{}", digit.repeat(64));
    server.tell::<()>(&format!("RPUSH {} item", name("a")));
    server.tell::<()>(&format!("SET {} damaged", name("b")));
    server.tell::<()>(&format!("SET {} upper-case", name("C")));
    server.tell::<()>(&format!("SET {} no-digits", name("x")));
    assert_eq!(server.size(), 10);

    let records = Pages::of(&store, ListFilter::new(), 100).all().await;
    let mut keys: Vec<_> = records.iter().map(|info| info.key).collect();
    let mut expected = vec![request("large").key, settled];
    keys.sort();
    expected.sort();
    assert_eq!(keys, expected);
    assert!(records.iter().all(|info| info.bytes == 5000), "{records:?}");
    assert_eq!(counted(&store).await.success.bytes, 10_000);
}

#[tokio::test]
async fn a_record_with_long_headers_is_listed_with_its_size() {
    let (_server, store) = start();
    for bytes in [10, 1500, 5000] {
        let mut headers = HeaderMap::new();
        for _ in 0..20 {
            headers.append("link", HeaderValue::from_bytes(&[b'x'; 1000]).unwrap());
        }
        let lease = reserved(&store, &format!("long-{bytes}")).await.unwrap();
        let outcome = response(vec![b'x'; bytes]).headers(headers);
        let completed = store.complete(&lease, &outcome, RETENTION).await.unwrap();
        assert_eq!(completed, Settlement::Applied);
    }
    let records = Pages::of(&store, ListFilter::new(), 100).all().await;
    let mut sizes: Vec<_> = records.iter().map(|info| info.bytes).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [10, 1500, 5000]);
}

#[tokio::test]
async fn all_digits_find_one_record_and_other_signs_none() {
    let (server, store) = start();
    let keys = plant(&store, 3).await;
    let key = keys.first().unwrap();
    server.tell::<()>("CONFIG RESETSTAT");
    let found =
        store.list(&ListRequest::new(ListFilter::new().digits(key.to_hex()))).await.unwrap();
    assert_eq!(found.records.iter().map(|info| info.key).collect::<Vec<_>>(), [*key]);
    assert!(!server.tell::<String>("INFO commandstats").contains("cmdstat_scan"));
    for digits in
        ["*", "?", "[0-9a-f]", "x", &key.to_hex()[..63].replace('0', "*"), &"a".repeat(65)]
    {
        let is_valid = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let filter = ListFilter::new().digits(digits.to_owned());
        let records = Pages::of(&store, filter, 100).all().await;
        assert_eq!(records.len(), usize::from(is_valid && digits.len() < 64), "{digits}");
    }
}

#[tokio::test]
async fn a_cursor_of_another_store_is_rejected() {
    let (_server, store) = start();
    let keys = plant(&store, 3).await;
    for text in ["", "7", "a.b.c.d.e.f", "x.1.1.0-1.0-1.a.b", "x.1.1.0-70000..", "x.-1.1.0-1.."] {
        let after = Cursor::new(text);
        let list = ListRequest::new(ListFilter::new()).after(after.clone());
        for error in [
            store.list(&list).await.map(drop).unwrap_err(),
            store.stats(Some(&after)).await.map(drop).unwrap_err(),
        ] {
            assert_eq!(error.kind(), StoreErrorKind::Rejected, "{text}: {error:?}");
        }
    }
    // One of another server begins anew.
    let after = Cursor::new("0123456789abcdef.77.1.0-16383..0123456789abcdef");
    let page = store.list(&ListRequest::new(ListFilter::new()).after(after)).await.unwrap();
    assert!(keys.contains(&page.records[0].key));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_between_two_pages_hides_no_record() {
    let mut server = RedisServer::start_durable();
    let store = RedisStore::open(&server.url()).unwrap();
    let keys = plant(&store, 500).await;
    let mut pages = Pages::of(&store, ListFilter::new(), 50);
    for _ in 0..4 {
        assert!(pages.turn().await.unwrap());
    }
    assert!(pages.keys().len() < keys.len());
    server.revive();
    while let Ok(true) | Err(_) = pages.turn().await {}
    assert_eq!(pages.keys(), keys);
}

#[tokio::test]
async fn one_server_of_a_cluster_does_not_list_its_part_for_the_whole() {
    let cluster = Cluster::start();
    let alone = RedisStore::open(&format!("redis://127.0.0.1:{}", cluster.ports()[0])).unwrap();
    let error = alone.list(&ListRequest::new(ListFilter::new())).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unsupported);
    assert!(error.to_string().contains("redis+cluster://"), "{error}");
}

#[tokio::test]
async fn the_body_of_a_record_goes_with_it_and_the_new_one_is_apart() {
    let (server, store) = start();
    let large = |byte| response(vec![byte; 100_000]);
    let lease = reserved(&store, "order").await.unwrap();
    let failure = store.fail(&lease, Some(&large(b'f')), RETENTION).await.unwrap();
    assert_eq!(failure, Settlement::Applied);
    let found = seen(&store, &lease.key).await;
    assert_eq!(found.bytes, 100_000);
    carried_out(&store, &respond(&found, 1, &large(b's'))).await;
    // The record, its body and its history. The body is in no reply to small commands.
    assert_eq!(server.size(), 3);
    let name = String::from_utf8(server.names().pop().unwrap()).unwrap();
    assert!(server.tell::<usize>(&format!("STRLEN {name}")) < 1000);
    assert_eq!(stored_body(&store, "order").await.unwrap().as_deref(), Some(large(b's').bytes()));

    // What was not done leaves no body behind, and that of the record stays.
    let moved = store.intervene(&respond(&found, 2, &large(b'x'))).await.unwrap();
    assert!(matches!(moved, Intervened::Moved(Some(_))), "{moved:?}");
    let again = store.intervene(&respond(&found, 1, &large(b's'))).await.unwrap();
    assert!(matches!(again, Intervened::AlreadyApplied), "{again:?}");
    assert_eq!(server.size(), 3);
    assert_eq!(stored_body(&store, "order").await.unwrap().as_deref(), Some(large(b's').bytes()));

    carried_out(&store, &release(&seen(&store, &lease.key).await, 3)).await;
    assert_eq!(server.size(), 1, "the history stays");
}

#[tokio::test]
async fn a_history_has_the_last_hundred_entries_and_stays_as_long_as_the_longest() {
    let (server, store) = start();
    let key = request("order").key;
    for number in 0..105 {
        failed(&store, "order").await.unwrap();
        let mut intervention = release(&seen(&store, &key).await, number);
        intervention.entry.reason = format!("reason {number}");
        if number != 50 {
            intervention.audit_retention = Duration::from_mins(1);
        }
        carried_out(&store, &intervention).await;
    }
    let history = store.show(&key).await.unwrap().history;
    let reasons: Vec<_> = history.iter().map(|entry| entry.reason.clone()).collect();
    assert_eq!(reasons, (5..105).map(|number| format!("reason {number}")).collect::<Vec<_>>());
    assert!(history.iter().is_sorted_by_key(|entry| entry.at));
    let names: Vec<String> = server.tell("KEYS idempotency:audit:*");
    let left: u64 = server.tell(&format!("PTTL {}", names[0]));
    assert!(left > u64::try_from(STAYS.as_millis()).unwrap() / 2, "{left}");

    // One that this version cannot read does not hide the others.
    server.tell::<()>(&format!("RPUSH {} unreadable", names[0]));
    assert_eq!(store.show(&key).await.unwrap().history.len(), 100);
}

#[tokio::test]
async fn a_renewal_goes_on_with_the_label_and_the_time_of_the_reservation() {
    let (_server, store) = start();
    let lease = reserved(&store, "order").await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    for _ in 0..3 {
        assert_eq!(store.renew(&lease).await.unwrap(), Settlement::Applied);
        let now = seen(&store, &lease.key).await;
        assert_eq!((now.state, now.attempt), (RecordState::InFlight, 1));
        assert_eq!(now.label, lease.label);
        let since_reserved = now.reserved_ago.unwrap();
        assert!(since_reserved >= Duration::from_millis(20), "{now:?}");
        assert!(since_reserved > now.changed_ago.unwrap(), "{now:?}");
    }
}

/// An intervention that reaches the server while an attempt is renewed is judged anew.
#[tokio::test]
async fn an_operator_may_fence_an_attempt_that_is_renewed_all_the_time() {
    let (_server, store) = start();
    let lease = reserved(&store, "order").await.unwrap();
    let found = seen(&store, &lease.key).await;
    for _ in 0..3 {
        assert_eq!(store.renew(&lease).await.unwrap(), Settlement::Applied);
    }
    carried_out(&store, &release(&found, 1)).await;
    assert_eq!(store.renew(&lease).await.unwrap(), Settlement::LeaseLost);
}

#[tokio::test]
async fn an_intervention_whose_reply_was_lost_is_carried_out_once() {
    for bytes in [10, 100_000] {
        let server = RedisServer::start();
        let wire = Wire::start(server.port()).await;
        let through = RedisStore::open(&wire.url()).unwrap();
        let beside = RedisStore::open(&server.url()).unwrap();
        // The server learns the script, and the store connects for bodies.
        let taught = failed(&through, "taught").await.unwrap();
        let large = response(vec![b'x'; 5000]);
        carried_out(&through, &respond(&seen(&through, &taught).await, 1, &large)).await;

        let key = failed(&through, "order").await.unwrap();
        let stored = response(vec![b'x'; bytes]);
        let change = respond(&seen(&through, &key).await, 2, &stored);
        // The first reply tells of the record. The second one comes from the script.
        let before = wire.seen().replies;
        let lose_the_second = async {
            wire.reached(|seen| seen.replies > before).await;
            wire.set(Network::Open { requests: Way::Pass, replies: Way::Lose });
            wire.reached(|seen| seen.replies > before + 1).await;
            wire.set(Network::FINE);
        };
        let (intervened, ()) = tokio::join!(through.intervene(&change), lose_the_second);
        let intervened = intervened.unwrap();
        assert!(matches!(intervened, Intervened::AlreadyApplied), "{intervened:?}");
        assert_eq!(beside.show(&key).await.unwrap().history.len(), 1);
        let record = beside.inspect(&key).await.unwrap().unwrap();
        assert!(matches!(record.state, State::Success(found) if found == stored));
    }
}

#[tokio::test]
async fn the_rights_that_the_documentation_names_are_enough() {
    let (server, _) = start();
    let service = "+ping +get +getrange +set +pttl +pexpire +del +unlink +eval +evalsha";
    let operators = "+info +dbsize +scan +lrange +strlen +time +ltrim +rpush";
    let rules = format!("on >secret ~idempotency:* {service}");
    server.tell::<()>(&format!("ACL SETUSER service {rules}"));
    server.tell::<()>(&format!("ACL SETUSER operator {rules} {operators}"));
    let open = |user: &str| {
        RedisStore::open(&server.url().replace("://", &format!("://{user}:secret@"))).unwrap()
    };
    let (service, operator) = (open("service"), open("operator"));
    let key = failed(&service, "order").await.unwrap();
    let found = seen(&operator, &key).await;
    for error in [
        service.show(&key).await.map(drop).unwrap_err(),
        service.list(&ListRequest::new(ListFilter::new())).await.map(drop).unwrap_err(),
        service.intervene(&release(&found, 1)).await.map(drop).unwrap_err(),
    ] {
        assert_eq!(error.kind(), StoreErrorKind::Configuration, "{error:?}");
        assert!(error.to_string().contains("+scan +dbsize"), "{error}");
    }
    // One who may not write lists changes nothing.
    server.tell::<()>("ACL SETUSER operator -rpush");
    let error = operator.intervene(&release(&found, 1)).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Configuration, "{error:?}");
    assert!(seen(&operator, &key).await.is_as_seen(&found));
    server.tell::<()>("ACL SETUSER operator +rpush");
    let large = response(vec![b'x'; 5000]);
    carried_out(&operator, &respond(&found, 1, &large)).await;
    assert_eq!(Pages::of(&operator, ListFilter::new(), 100).all().await.len(), 1);
}
