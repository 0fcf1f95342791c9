//! Random sequences of operations on every store, each answer compared with that of a model.
//!
//! A case is a list of [`Step`](steps::Step)s. One run of it asks the store and the [`Model`](machine::Model) the same
//! questions at the same times; the first answer that differs ends it, and the list is made shorter and simpler for as
//! long as the answers still differ.
//!
//! To hold another store to the model, say how it is made and by which clock it lives:
//! `holds(&Subject::real(move || store.clone()), 500)`.

mod case;
mod explore;
mod faulty;
mod given;
mod machine;
mod pace;
mod steps;

use std::fmt::Write as _;

use tower_idempotency::MemoryStore;
use tower_idempotency::store::{DynStore, Store};

use explore::{Difference, Subject};
use faulty::{FAULTS, Faulty};

#[test]
fn the_memory_store_answers_as_the_model_does() {
    holds(&Subject::paused(MemoryStore::new), 2000);
}

#[test]
fn a_store_chosen_at_run_time_answers_as_the_model_does() {
    holds(&Subject::paused(|| DynStore::new(MemoryStore::new())), 500);
}

#[cfg(feature = "redis")]
#[test]
fn the_redis_store_answers_as_the_model_does() {
    let server = crate::support::redis::RedisServer::start();
    let store = tower_idempotency::RedisStore::open(&server.url()).unwrap();
    holds(&Subject::real(move || store.clone()), 400);
}

#[cfg(all(feature = "postgres", feature = "conformance"))]
#[test]
fn the_postgres_store_answers_as_the_model_does() {
    let server = crate::support::postgres::PostgresServer::start_migrated();
    let store = std::sync::OnceLock::new();
    // A pool lives in the runtime that it was made in.
    holds(&Subject::real(move || store.get_or_init(|| server.store()).clone()), 400);
}

#[cfg(feature = "sqlite")]
#[test]
fn the_sqlite_store_answers_as_the_model_does() {
    use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteSynchronous};

    let directory = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new().filename(directory.path().join("records.db"));
    // A hundred cases at once would wait for the disk, and nothing here is to survive.
    let options = options.create_if_missing(true).synchronous(SqliteSynchronous::Off);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let pool: SqlitePool = {
        let _entered = runtime.enter();
        SqlitePoolOptions::new().max_connections(1).connect_lazy_with(options)
    };
    let store = tower_idempotency::SqliteStore::with_pool(pool);
    runtime.block_on(store.migrate()).unwrap();
    holds(&Subject::real(move || store.clone()), 400);
}

/// A model test that lets everything pass would pass.
#[test]
fn the_model_finds_each_of_these_faults_and_shows_it_in_a_few_steps() {
    for fault in FAULTS {
        let subject = Subject::paused(move || Faulty::new(fault)).with_seed(1);
        let Err(found) = subject.explore(1000) else {
            panic!("no case tells a store that {fault:?} from the model");
        };
        println!("{fault:?}: {found}");
        assert!(found.steps.len() <= 6, "{fault:?} could be shown in fewer steps:\n{found}");
    }
}

/// Shows the sequence that told them apart, when there is one.
fn holds<S: Store>(subject: &Subject<S>, cases: usize) {
    let explored = subject.explore(cases).unwrap_or_else(|found| panic!("{found}"));
    let explore::Explored { answers, judged, undecided } = explored;
    println!("{judged} cases, and {undecided} that were cut short; answers: {answers:#?}");
    assert!(judged >= cases, "{undecided} cases could not be judged: the machine is too busy");
    for answer in case::ANSWERS {
        assert!(answers.contains_key(answer), "no case came to the answer {answer:?}");
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut steps = String::new();
        for (number, step) in self.steps.iter().enumerate() {
            writeln!(steps, "  {number}: {step:?}")?;
        }
        write!(f, "{}\nafter these steps:\n{steps}", self.why)
    }
}
