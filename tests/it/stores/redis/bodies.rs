//! Large bodies beside small commands, on the Redis store.

use std::time::Duration;

use tokio::task::JoinHandle;
use tower_idempotency::RedisStore;
use tower_idempotency::store::{Reservation, Settlement, Store, StoreError};

use crate::support::narrow::Narrow;
use crate::support::patiently;
use crate::support::redis::traffic::{RETENTION, execute, request, response, stored_body};
use crate::support::redis::{Cluster, RedisServer, SentinelGroup};

/// Much more than all the small commands of a test, and less than a body.
const CARRIED: usize = 256 << 10;
const BODY: usize = 1 << 20;

struct Stage {
    server: RedisServer,
    link: Narrow,
    store: RedisStore,
    direct: RedisStore,
}

/// A store behind a link that holds each connection once it has carried much.
async fn stage() -> Stage {
    let server = RedisServer::start();
    let link = Narrow::holding_after(server.port(), CARRIED).await;
    let (store, direct) =
        (RedisStore::open(&link.url()).unwrap(), RedisStore::open(&server.url()).unwrap());
    store.set_timeout(Duration::from_mins(1));
    Stage { server, link, store, direct }
}

/// Makes small payments while bodies are held in the link, and then waits for the held tasks.
async fn small_ones_pass<T: Send + 'static>(stage: &Stage, held: Vec<JoinHandle<T>>) -> Vec<T> {
    let small = async {
        for number in 0..40 {
            execute(&stage.store, &format!("small-{number}"), "paid").await.unwrap();
        }
    };
    patiently(small).await;
    assert!(held.iter().all(|held| !held.is_finished()), "the bodies are held");
    stage.link.widen();
    let mut ended = Vec::new();
    for held in held {
        ended.push(patiently(held).await.unwrap());
    }
    ended
}

#[tokio::test]
async fn small_operations_pass_while_a_large_response_is_replayed() {
    let stage = stage().await;
    let body = vec![b'x'; BODY];
    execute(&stage.direct, "large", body.clone()).await.unwrap();
    let retries = (0..10).map(|_| {
        let store = stage.store.clone();
        tokio::spawn(async move { stored_body(&store, "large").await })
    });
    let retries = retries.collect();
    for replayed in small_ones_pass(&stage, retries).await {
        assert!(replayed.unwrap().unwrap() == body);
    }
}

#[tokio::test]
async fn small_operations_pass_while_a_large_response_is_stored() {
    let stage = stage().await;
    let Reservation::Acquired(lease) = stage.store.reserve(&request("large")).await.unwrap() else {
        panic!("the key is new");
    };
    let store = stage.store.clone();
    let completing = tokio::spawn(async move {
        store.complete(&lease, &response(vec![b'x'; BODY]), RETENTION).await
    });
    let completed = small_ones_pass(&stage, vec![completing]).await;
    assert!(matches!(completed[..], [Ok(Settlement::Applied)]), "{completed:?}");
    assert_eq!(stored_body(&stage.direct, "large").await.unwrap().unwrap().len(), BODY);
}

/// How many connections clients have, those of replicas and of the one that asks left out.
fn clients(port: u16) -> usize {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
    let list: String = redis::cmd("CLIENT")
        .arg(&["LIST", "TYPE", "NORMAL"])
        .query(&mut client.get_connection().unwrap())
        .unwrap();
    list.lines().filter(|line| line.contains("cmd=get") || line.contains("cmd=evalsha")).count()
}

#[test]
fn bodies_have_a_connection_of_their_own_under_sentinel_and_on_a_cluster_too() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let use_both = |url: &str| {
        let store = RedisStore::open(url).unwrap();
        runtime.block_on(async {
            execute(&store, "large", vec![b'x'; 5000]).await.unwrap();
            assert_eq!(stored_body(&store, "large").await.unwrap().unwrap().len(), 5000);
            // The last command on the connection for records tells it from others.
            let Reservation::Acquired(lease) = store.reserve(&request("small")).await.unwrap()
            else {
                panic!("the key is new");
            };
            let _ = store.complete(&lease, &response("paid"), RETENTION).await.unwrap();
        });
        store
    };
    let group = SentinelGroup::start();
    let store = use_both(&group.url());
    assert_eq!(clients(group.primary_port()), 2);
    drop((store, group));
    let cluster = Cluster::start();
    let store = use_both(&cluster.url());
    let connections: usize = cluster.primary_ports().into_iter().map(clients).sum();
    assert!((2..=3).contains(&connections), "{connections}");
    drop(store);
}

#[tokio::test]
async fn callers_who_read_the_same_body_at_the_same_time_share_one_read() {
    let stage = stage().await;
    execute(&stage.direct, "large", vec![b'x'; BODY]).await.unwrap();
    let read = |store: RedisStore| tokio::spawn(async move { stored_body(&store, "large").await });
    let first = read(stage.store.clone());
    let others: Vec<_> = (0..20).map(|_| read(stage.store.clone())).collect();
    // The read may be that of any of them: the others go on without the one that gives up.
    small_ones_pass_meanwhile(&stage).await;
    first.abort();
    small_ones_pass_meanwhile(&stage).await;
    stage.link.widen();
    for other in others {
        assert_eq!(patiently(other).await.unwrap().unwrap().unwrap().len(), BODY);
    }
    let reads = sent_bodies(&stage);
    assert!((1..=2).contains(&reads), "{reads} reads");
}

async fn small_ones_pass_meanwhile(stage: &Stage) {
    for _ in 0..5 {
        stage.store.ping().await.unwrap();
    }
}

/// How many bodies the server has sent. Before 7.0 a script reads records by the same command, so
/// commands do not tell.
fn sent_bodies(stage: &Stage) -> usize {
    let client = redis::Client::open(stage.server.url()).unwrap();
    let stats: String =
        redis::cmd("INFO").arg("stats").query(&mut client.get_connection().unwrap()).unwrap();
    let sent = stats.lines().find_map(|line| line.strip_prefix("total_net_output_bytes:")).unwrap();
    sent.trim().parse::<usize>().unwrap() / BODY
}

/// More than may be in transfer at a time.
#[tokio::test]
async fn a_store_whose_transfers_are_held_up_stores_and_replays_again_afterwards() {
    let stage = stage().await;
    let mut tasks: Vec<JoinHandle<Result<(), StoreError>>> = Vec::new();
    for number in 0..12 {
        let store = stage.store.clone();
        tasks.push(tokio::spawn(async move {
            execute(&store, &format!("large-{number}"), vec![number; BODY]).await
        }));
    }
    for executed in small_ones_pass(&stage, tasks).await {
        executed.unwrap();
    }
    for number in 0..12 {
        let body = stored_body(&stage.store, &format!("large-{number}")).await.unwrap().unwrap();
        assert!(body == vec![number; BODY]);
    }
}
