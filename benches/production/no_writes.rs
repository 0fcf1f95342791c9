//! The requests that succeed while a Redis server rejects writes.

use http::StatusCode;
use tower_idempotency::RedisStore;
use tower_idempotency::store::{
    Lease, NotRetained, Outcome, Reservation, Settlement, Store, StoreErrorKind, StoredBody,
};

use crate::each_redis;
use crate::redis::RedisServer;
use crate::redis::traffic::{RETENTION, execute, request, response, stored_body};

const KEYS: usize = 100;
/// The bytes of a body that is stored separately from its record.
const LARGE: usize = 900_000;

pub(crate) async fn run(arguments: &[&str]) {
    if arguments != ["here"] {
        println!(
            "| server | cause | replays | in flight | renewals | responses stored | 900 kB responses stored without \
             their body | new operations |"
        );
        println!("|---|---|---|---|---|---|---|---|");
        return each_redis::run("no_writes");
    }
    for (cause, command) in [
        ("maxmemory", "CONFIG SET maxmemory 1"),
        ("NOREPLICAS", "CONFIG SET min-replicas-to-write 1"),
    ] {
        let server = RedisServer::start();
        let store = RedisStore::open(&server.url()).unwrap();
        let (mut running, mut large) = (Vec::new(), Vec::new());
        let body = response(vec![b'x'; LARGE]);
        for number in 0..KEYS {
            execute(&store, &format!("done-{number}"), "paid").await.unwrap();
            running.push(acquire(&store, &format!("running-{number}")).await);
            large.push(acquire(&store, &format!("large-{number}")).await);
        }
        server.tell::<()>(command);

        let [mut replayed, mut in_flight, mut renewed, mut stored, mut bare, mut begun] = [0; 6];
        for (number, (lease, large)) in running.iter().zip(&large).enumerate() {
            let found = stored_body(&store, &format!("done-{number}")).await;
            replayed += usize::from(found.is_ok_and(|body| body.is_some()));
            let found = store.reserve(&request(&format!("running-{number}"))).await;
            in_flight += usize::from(matches!(found, Ok(Reservation::Found(_))));
            renewed += usize::from(applied(&store.renew(lease).await));
            stored +=
                usize::from(applied(&store.complete(lease, &response("paid"), RETENTION).await));
            // The layer does the same.
            let rejected = store.complete(large, &body, RETENTION).await;
            if rejected.is_err_and(|error| error.kind() == StoreErrorKind::Full) {
                bare +=
                    usize::from(applied(&store.complete(large, &not_retained(), RETENTION).await));
            }
            begun += usize::from(store.reserve(&request(&format!("new-{number}"))).await.is_ok());
        }
        let counts = [replayed, in_flight, renewed, stored, bare, begun]
            .map(|count| format!("{count} of {KEYS}"));
        println!("| {} | {cause} | {} |", each_redis::version(&server), counts.join(" | "));
    }
}

async fn acquire(store: &RedisStore, key: &str) -> Lease {
    match store.reserve(&request(key)).await.unwrap() {
        Reservation::Acquired(lease) => lease,
        Reservation::Found(record) => panic!("{record:?} was in the way"),
    }
}

fn not_retained() -> Outcome {
    Outcome::new(StatusCode::CREATED, StoredBody::NotRetained(NotRetained::Rejected))
}

fn applied<E>(settled: &Result<Settlement, E>) -> bool {
    matches!(settled, Ok(Settlement::Applied))
}
