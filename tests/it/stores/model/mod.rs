//! Random walks on every store, each reply compared with the model's.

mod faulty;
pub(crate) mod slow;

use std::future::Future;
use std::time::Duration;

use tokio::runtime::Builder;
use tower_idempotency::MemoryStore;
use tower_idempotency::store::DynStore;
use tower_idempotency::store::conformance::{RandomWalk, WalkError, Walked};

use faulty::{FAULTS, Faulty};
use slow::Slow;

/// As short as a machine that is not busy allows. It grows on one that is.
#[cfg(any(
    feature = "redis",
    feature = "sqlite",
    all(feature = "postgres", feature = "conformance")
))]
const TICK: Duration = Duration::from_millis(40);

#[tokio::test(start_paused = true)]
async fn the_memory_store_replies_as_the_model_does() {
    agrees(RandomWalk::new().walks(2000).steps(40).run_paused(&MemoryStore::new())).await;
}

#[tokio::test(start_paused = true)]
async fn a_store_chosen_at_run_time_replies_as_the_model_does() {
    agrees(RandomWalk::new().steps(40).run_paused(&DynStore::new(MemoryStore::new()))).await;
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread")]
async fn the_redis_store_replies_as_the_model_does() {
    let server = crate::support::redis::RedisServer::start();
    let store = tower_idempotency::RedisStore::open(&server.url()).unwrap();
    agrees(RandomWalk::new().run(&store, TICK)).await;
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn the_postgres_store_replies_as_the_model_does() {
    let server = crate::support::postgres::PostgresServer::start_migrated();
    agrees(RandomWalk::new().run(&server.store(), TICK)).await;
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread")]
async fn the_sqlite_store_replies_as_the_model_does() {
    use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteSynchronous};

    let directory = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new().filename(directory.path().join("records.db"));
    // Many walks at once would wait for the disk, and nothing here is to survive.
    let options = options.create_if_missing(true).synchronous(SqliteSynchronous::Off);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_lazy_with(options);
    let store = tower_idempotency::SqliteStore::with_pool(pool);
    store.migrate().await.unwrap();
    agrees(RandomWalk::new().run(&store, TICK)).await;
}

/// A model test that lets everything pass would pass.
#[test]
fn the_model_finds_each_of_these_faults_and_shows_it_in_a_few_steps() {
    for fault in FAULTS {
        let runtime =
            Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let walk = RandomWalk::new().seed(1).walks(1000).steps(40).at_once(1);
        // The clock of the store is that of the paused runtime, so it is made in there.
        let found = runtime.block_on(async { walk.run_paused(&Faulty::new(fault)).await });
        let Err(WalkError::Differs(found)) = found else {
            panic!("no walk tells a store that {fault:?} from the model: {found:?}");
        };
        println!("{fault:?}: {found}");
        assert!(found.steps().len() <= 6, "{fault:?} could be shown in fewer steps:\n{found}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_seed_of_a_difference_draws_the_same_walk_first() {
    let walk = RandomWalk::new().walks(1000).at_once(1);
    let Err(WalkError::Differs(found)) =
        walk.run_paused(&Faulty::new(faulty::Fault::SettlesForAnyToken)).await
    else {
        panic!("the fault is found");
    };
    let again = RandomWalk::new().seed(found.seed()).walks(1);
    let again = again.run_paused(&Faulty::new(faulty::Fault::SettlesForAnyToken)).await;
    let Err(WalkError::Differs(again)) = again else {
        panic!("the walk does not find it again: {again:?}")
    };
    assert_eq!(again.steps(), found.steps());
}

/// The records of some stores outlast their retention a little, as they may. A step that is late
/// can come in that time.
#[tokio::test(start_paused = true)]
async fn a_record_may_outlast_its_retention_by_two_percent_on_a_machine_that_is_late() {
    let store = Slow::lingering(MemoryStore::new(), Duration::from_millis(200));
    let walked = RandomWalk::new().walks(2000).run(&store, Duration::from_millis(320)).await;
    let walked = walked.unwrap_or_else(|error| panic!("{error}"));
    assert!(walked.cut_short > 0, "no step was late");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_too_slow_for_the_tick_is_not_said_to_differ() {
    let store = Slow::new(MemoryStore::new(), Duration::from_secs(1));
    let walked = RandomWalk::new().walks(20).run(&store, Duration::from_millis(40)).await;
    assert!(matches!(walked, Err(WalkError::Late(_))), "{walked:?}");
}

/// Shows the steps that told them apart, when there are some.
async fn agrees(walk: impl Future<Output = Result<Walked, WalkError>>) {
    let walked = walk.await.unwrap_or_else(|error| panic!("{error}"));
    println!("{walked:#?}");
    for reply in Walked::REPLIES {
        assert!(walked.replies.contains_key(reply), "no walk came to the reply {reply:?}");
    }
}
