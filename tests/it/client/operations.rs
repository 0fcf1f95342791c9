use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tempfile::TempDir;
use tower::{Layer, service_fn};
use tower_idempotency::IdempotencyKey;
use tower_idempotency::client::{
    ClientLayer, Disposition, ErrorKind, FileKeyStore, KeyStore, MemoryKeyStore, Operation,
    OperationError, Operations, StoredKey,
};

use super::{Canned, Turn, connections, post, quick};

const HOUR: Duration = Duration::from_hours(1);

fn directory() -> (TempDir, Operations<FileKeyStore>) {
    let directory = tempfile::tempdir().unwrap();
    let operations = over(&directory);
    (directory, operations)
}

/// The operations of a process that starts now.
fn over(directory: &TempDir) -> Operations<FileKeyStore> {
    Operations::new(FileKeyStore::open(directory.path()).unwrap())
}

async fn send<K: KeyStore>(operation: &mut Operation<K>, canned: &Canned) -> Option<u16> {
    let layer = quick().max_attempts(2.try_into().unwrap());
    let response = operation.send(&mut layer.layer(canned.clone()), post("/")).await;
    response.ok().map(|response| response.status().as_u16())
}

async fn names<K: KeyStore>(operations: &Operations<K>) -> Vec<String> {
    let mut names: Vec<_> =
        operations.pending().await.unwrap().into_iter().map(|stored| stored.operation).collect();
    names.sort();
    names
}

#[tokio::test]
async fn the_key_is_on_disk_before_the_first_byte_leaves() {
    let (directory, operations) = directory();
    let keys = directory.path().to_owned();
    let mut operation = operations.begin("payout 1").await.unwrap();
    let server = service_fn(move |request: Request<Full<Bytes>>| {
        let key = request.headers()["x-idempotency-key"].to_str().unwrap().to_owned();
        let files = std::fs::read_dir(&keys).unwrap().map(|file| file.unwrap().path());
        let stored =
            files.filter(|path| std::fs::read_to_string(path).unwrap().contains(&key)).count();
        async move { Ok::<_, io::Error>(Response::new(Full::new(Bytes::from(stored.to_string())))) }
    });
    let response = operation.send(&mut ClientLayer::new().layer(server), post("/")).await.unwrap();
    let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    assert_eq!(body, "1");
}

#[tokio::test]
async fn after_a_restart_the_same_name_has_the_same_key_until_it_is_finished() {
    let (directory, operations) = directory();
    let first = operations.begin("payout 1").await.unwrap();
    assert!(!first.is_resumed());
    assert_ne!(first.key(), operations.begin("payout 2").await.unwrap().key());

    let mut second = over(&directory).begin("payout 1").await.unwrap();
    assert!(second.is_resumed());
    assert_eq!(second.key(), first.key());
    assert_eq!(names(&operations).await, ["payout 1", "payout 2"]);

    let canned = Canned::turns([]);
    assert_eq!(send(&mut second, &canned).await, Some(201));
    assert_eq!(canned.asked()[0].key(), first.key().as_str());
    // The response alone drops nothing: the application has not written it down.
    assert_eq!(names(&operations).await, ["payout 1", "payout 2"]);
    assert!(second.finish().await.unwrap());
    assert_eq!(names(&over(&directory)).await, ["payout 2"]);

    let next = operations.begin("payout 1").await.unwrap();
    assert!(!next.is_resumed());
    assert_ne!(next.key(), first.key());
    // One that was left behind drops no key but its own.
    first.forget().await.unwrap();
    assert_eq!(names(&operations).await, ["payout 1", "payout 2"]);
}

#[tokio::test]
async fn a_key_stays_through_everything_that_is_not_definitive() {
    let turns = [
        (Turn::status(422), Some(Disposition::Unknown)),
        (Turn::response(409, &[("x-should-retry", "false")], ""), Some(Disposition::Unknown)),
        (Turn::response(503, &[("x-idempotent-result", "true")], ""), Some(Disposition::Unknown)),
        (Turn::status(503), Some(Disposition::Retry)),
        (Turn::response(409, &[("retry-after", "0")], ""), Some(Disposition::Retry)),
        (Turn::Fail, None),
    ];
    let (directory, _) = directory();
    let key = over(&directory).begin("payout 1").await.unwrap().key().clone();
    for (turn, disposition) in turns {
        let operations = over(&directory);
        let mut operation = operations.begin("payout 1").await.unwrap();
        send(&mut operation, &Canned::ever(turn)).await;
        assert_eq!(operation.disposition(), disposition);
        assert_eq!(operation.key(), &key);
        assert!(!operation.finish().await.unwrap());
        assert_eq!(names(&operations).await, ["payout 1"]);
    }
    // An operation that is dropped without `finish` stays too.
    drop(over(&directory).begin("payout 1").await.unwrap());
    let mut operation = over(&directory).begin("payout 1").await.unwrap();
    assert_eq!(send(&mut operation, &Canned::turns([])).await, Some(201));
    assert!(operation.finish().await.unwrap());
    assert_eq!(names(&over(&directory)).await, [] as [String; 0]);
}

#[tokio::test]
async fn an_operation_that_is_too_old_does_not_begin_until_forget_is_called() {
    let keys = MemoryKeyStore::new();
    let now = SystemTime::now();
    for (name, age) in [("young", 23 * HOUR), ("old", 24 * HOUR), ("older", 240 * HOUR)] {
        let key = IdempotencyKey::parse(name.as_bytes()).unwrap();
        keys.put_if_absent(StoredKey { operation: name.into(), key, created_at: now - age })
            .await
            .unwrap();
    }
    let operations = Operations::new(keys);
    assert!(operations.begin("young").await.unwrap().is_resumed());
    for name in ["old", "older"] {
        for _ in 0..2 {
            let error = operations.begin(name).await.unwrap_err();
            let OperationError::Expired { created_at } = error else { panic!("{error:?}") };
            assert!(created_at <= now - 24 * HOUR);
        }
    }
    assert_eq!(names(&operations).await, ["old", "older", "young"]);
    let old = operations
        .pending()
        .await
        .unwrap()
        .into_iter()
        .find(|stored| stored.operation == "old")
        .unwrap();
    operations.forget(&old).await.unwrap();
    let operation = operations.begin("old").await.unwrap();
    assert!(!operation.is_resumed());
    assert_ne!(operation.key(), &old.key);
    // The retention is the server's to say.
    assert!(operations.clone().retention(1000 * HOUR).begin("older").await.unwrap().is_resumed());
    assert!(operations.retention(HOUR).begin("young").await.is_err());
}

#[tokio::test]
async fn a_key_of_ones_own_is_stored_and_the_one_that_was_there_first_wins() {
    let key = |text: &str| IdempotencyKey::parse(text.as_bytes()).unwrap();
    let (directory, operations) = directory();
    let first = operations.begin_with_key("payout 1", key("mine")).await.unwrap();
    assert_eq!((first.key().as_str(), first.is_resumed()), ("mine", false));
    let second = over(&directory).begin_with_key("payout 1", key("other")).await.unwrap();
    assert_eq!((second.key().as_str(), second.is_resumed()), ("mine", true));
    assert!(over(&directory).begin("payout 1").await.unwrap().is_resumed());
    // The same key does not prove that nothing was sent.
    assert!(over(&directory).begin_with_key("payout 1", key("mine")).await.unwrap().is_resumed());
}

/// A table that stores each key, but reports an error while it is down.
#[derive(Debug, Clone, Default)]
struct Table {
    inner: MemoryKeyStore,
    is_down: bool,
}

impl KeyStore for Table {
    async fn put_if_absent(&self, new: StoredKey) -> io::Result<StoredKey> {
        let stored = self.inner.put_if_absent(new).await?;
        if self.is_down { Err(io::Error::other("the table is gone")) } else { Ok(stored) }
    }

    async fn remove(&self, operation: &str, key: &IdempotencyKey) -> io::Result<()> {
        if self.is_down {
            Err(io::Error::other("gone"))
        } else {
            self.inner.remove(operation, key).await
        }
    }

    async fn remove_unshared(&self, operation: &str, key: &IdempotencyKey) -> io::Result<bool> {
        self.inner.remove_unshared(operation, key).await
    }

    async fn list(&self) -> io::Result<Vec<StoredKey>> {
        self.inner.list().await
    }
}

#[tokio::test]
async fn without_certainty_that_the_key_is_stored_nothing_begins() {
    let up = Table::default();
    let down = Operations::new(Table { is_down: true, ..up.clone() });
    let error = down.begin("payout 1").await.unwrap_err();
    assert!(matches!(error, OperationError::Store(_)), "{error:?}");
    assert!(std::error::Error::source(&error).is_some());
    // The table did store the key, and the next operation resumes it.
    let stored = up.inner.list().await.unwrap().remove(0);
    let operation = Operations::new(up.clone()).begin("payout 1").await.unwrap();
    assert_eq!((operation.key(), operation.is_resumed()), (&stored.key, true));
    assert!(down.forget(operation.stored()).await.is_err());
    assert_eq!(up.inner.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn marked_requests_go_without_the_layer_too() {
    let canned = Canned::turns([Turn::status(503)]);
    let (_server, uri) = canned.serve().await;
    let operations = Operations::new(MemoryKeyStore::new());
    let mut operation = operations.begin("payout 1").await.unwrap();
    let mut client = connections();
    let mut request = post(&uri);
    request.headers_mut().insert("idempotency-key", "other".parse().unwrap());
    assert_eq!(operation.send(&mut client, request).await.unwrap().status(), 503);
    assert_eq!(operation.disposition(), Some(Disposition::Retry));
    assert_eq!(operation.send(&mut client, post(&uri)).await.unwrap().status(), 201);
    assert_eq!(operation.disposition(), Some(Disposition::Final));
    assert!(canned.asked().iter().all(|asked| asked.key() == operation.key().as_str()));
    assert!(operation.finish().await.unwrap());
}

#[tokio::test]
async fn without_the_layer_a_conflict_with_a_document_is_not_definitive() {
    let problem = [("content-type", "application/problem+json")];
    let canned = Canned::turns([
        Turn::response(409, &problem, r#"{"code":"idempotency_key_in_flight"}"#),
        Turn::response(409, &[], "out of stock"),
    ]);
    let operations = Operations::new(MemoryKeyStore::new());
    let mut operation = operations.begin("payout 1").await.unwrap();
    let mut client = canned.clone();
    operation.send(&mut client, post("/")).await.unwrap();
    assert_eq!(operation.disposition(), Some(Disposition::Unknown));
    let mut operation = operations.begin("payout 2").await.unwrap();
    operation.send(&mut client, post("/")).await.unwrap();
    assert_eq!(operation.disposition(), Some(Disposition::Final));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_begin_at_once_all_have_one_key_and_one_is_not_resumed() {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let mut beginning = tokio::task::JoinSet::new();
    for _ in 0..24 {
        let directory = Arc::clone(&directory);
        beginning.spawn(async move {
            let operation = over(&directory).begin("payout 1").await.unwrap();
            (operation.key().as_str().to_owned(), operation.is_resumed())
        });
    }
    let begun = beginning.join_all().await;
    assert!(begun.iter().all(|(key, _)| *key == begun[0].0));
    assert_eq!(begun.iter().filter(|(_, is_resumed)| !is_resumed).count(), 1);
}

#[tokio::test]
async fn an_operation_that_is_held_until_its_key_is_too_old_is_not_sent_again() {
    let operations = Operations::new(MemoryKeyStore::new()).retention(Duration::from_millis(200));
    let mut operation = operations.begin("payout 1").await.unwrap();
    let silent = Canned::ever(Turn::Hang);
    let mut client = quick().attempt_timeout(Duration::from_millis(300)).layer(silent.clone());

    // The first call ends with the attempt that was made in time, long before its own minute.
    let error = operation.send(&mut client, post("/")).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.attempts(), error.is_in_doubt()),
        (ErrorKind::Expired, 1, true)
    );
    let error = operation.send(&mut client, post("/")).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.attempts(), error.is_in_doubt()),
        (ErrorKind::Expired, 0, true)
    );
    assert_eq!(error.key(), Some(operation.key()));
    assert_eq!(silent.count(), 1);
    assert!(!operation.finish().await.unwrap());
}

#[tokio::test]
async fn a_key_from_the_future_has_no_age_that_can_be_trusted() {
    let keys = MemoryKeyStore::new();
    let of = |name: &str, ahead: Duration| StoredKey {
        operation: name.into(),
        key: IdempotencyKey::parse(name.as_bytes()).unwrap(),
        created_at: SystemTime::now() + ahead,
    };
    keys.put_if_absent(of("far", HOUR)).await.unwrap();
    keys.put_if_absent(of("near", Duration::from_mins(1))).await.unwrap();
    let operations = Operations::new(keys);
    assert!(matches!(operations.begin("far").await, Err(OperationError::ClockBehind { .. })));
    assert!(operations.begin("near").await.unwrap().is_resumed());
}

#[tokio::test]
async fn a_rejection_does_not_drop_a_key_that_another_process_has_taken_up() {
    let keys = MemoryKeyStore::new();
    let [operations, elsewhere] = [keys.clone(), keys.clone()].map(Operations::new);
    let canned = Canned::turns([Turn::status(404), Turn::done()]);
    let mut client = quick().layer(canned.clone());
    let mut one = operations.begin("payout 1").await.unwrap();
    let mut other = elsewhere.begin("payout 1").await.unwrap();
    one.send(&mut client, post("/")).await.unwrap();
    assert_eq!(one.disposition(), Some(Disposition::Final));
    // The other process may have had an effect by now.
    assert!(!one.finish().await.unwrap());
    assert_eq!(keys.list().await.unwrap().len(), 1);
    other.send(&mut client, post("/")).await.unwrap();
    assert!(other.finish().await.unwrap());
    assert_eq!(keys.list().await.unwrap(), []);
}
