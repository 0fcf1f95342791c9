//! Transaction mode where it counts: processes are killed again and again, and the database with
//! them, while clients pay and ask until they succeed. Afterwards every key has one row, and one
//! response.
//!
//! `scripts/faults --store postgres+tx` and `--store sqlite+tx` are the long run; its help tells
//! the settings.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::support::random::{Draw, any_seed, setting};
use audit::audit;
use clients::Clients;
use processes::{Database, Processes};

mod audit;
mod clients;
mod processes;

/// The number of clients. Each does one operation after another.
const CLIENTS: usize = 8;

/// What a run is to be.
struct Plan {
    operations: usize,
    kills: usize,
    restarts: usize,
    seed: u64,
}

/// What a run came to.
struct Figures {
    operations: usize,
    /// How many there were, and how many of them while a request to the process was in flight.
    kills: (usize, usize),
    restarts: (usize, usize),
    /// Requests that were cut off: those that the next response showed to be rolled back, and to be
    /// committed.
    rolled_back: usize,
    committed: usize,
    compared: usize,
    took: Duration,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgresql_every_key_has_one_row_and_one_response_through_kills_of_processes_and_server()
 {
    run(Database::postgres(), 2, Plan::of_setting(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite_every_key_has_one_row_and_one_response_through_kills_of_the_process() {
    run(Database::sqlite(), 1, Plan { restarts: 0, ..Plan::of_setting(0) }).await;
}

impl Plan {
    fn of_setting(restarts: usize) -> Self {
        Self {
            operations: setting("FAULTS_OPERATIONS", 150),
            kills: setting("FAULTS_KILLS", 4),
            restarts: setting("FAULTS_RESTARTS", restarts),
            seed: setting("FAULTS_SEED", any_seed()),
        }
    }
}

async fn run(database: Database, servers: usize, plan: Plan) {
    let Plan { operations, kills, restarts, seed } = plan;
    println!("{} seed {seed}", database.name());
    let start = Instant::now();
    let draw = Draw::from_seed(seed);
    let mut processes = Processes::start(database, servers).await;
    let clients = Arc::new(Clients::new(processes.addresses(), operations, &draw));

    let paying = (0..CLIENTS).map(|_| Arc::clone(&clients).pay()).collect::<JoinSet<()>>();
    let mut faults = draw.part("faults");
    // A client that gives up ends both.
    let (suffered, _) =
        tokio::join!(processes.suffer(kills, restarts, &clients, &mut faults), paying.join_all());
    clients.ask_all_again().await;

    let told = clients.told();
    audit(&told, processes.database()).await;
    assert_eq!(processes.panics(), Vec::<String>::new());
    let figures = Figures {
        operations,
        kills: suffered.kills,
        restarts: suffered.restarts,
        rolled_back: told.rolled_back,
        committed: told.committed,
        compared: told.compared(),
        took: start.elapsed(),
    };
    println!("  {figures}");
    assert_eq!((suffered.kills.0, suffered.restarts.0), (kills, restarts));
    assert!(suffered.kills.1 > 0, "no kill hit an operation");
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operations, kills, restarts, rolled_back, committed, compared, took } = self;
        write!(
            f,
            "operations {operations} · kills {} ({} with requests in flight) · restarts of the server {} ({}) · \
             requests cut off {} (rolled back {rolled_back}, committed {committed}) · later responses compared \
             {compared} · {:.1} s",
            kills.0,
            kills.1,
            restarts.0,
            restarts.1,
            rolled_back + committed,
            took.as_secs_f64()
        )
    }
}
