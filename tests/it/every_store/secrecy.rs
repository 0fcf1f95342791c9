//! Which data of a request and its response can be found in the storage. With encryption, or with
//! [`StoredResponse::Status`]: nothing. Without either: the response, but nothing of the request.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use sha2::{Digest, Sha256};
use sqlx::{ConnectOptions, Executor};
use tempfile::TempDir;
use tower_idempotency::store::DynStore;
use tower_idempotency::{
    EncryptionKeys, Fingerprint, IdempotencyKey, IdempotencyLayer, OnFailed, RedisStore, Scope,
    SqliteStore, StoredResponse,
};

use crate::support::postgres::PostgresServer;
use crate::support::redis::RedisServer;
use crate::support::{Effects, Frames, Server, TestLayer, app, post};

/// No sequence of so many bytes of a secret may be found.
const WINDOW: usize = 9;

/// A text that occurs nowhere by chance: so many digests of its name and their numbers.
fn secret(name: &str, digests: usize) -> String {
    let digest = |number| Sha256::digest(format!("{name} {number}"));
    (0..digests).flat_map(|number| digest(number).map(|byte| format!("{byte:02x}"))).collect()
}

/// Where the secret is sent, and so whether it is stored by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Kind {
    /// Stored under no setting.
    Never,
    /// Part of a response that is stored whole.
    Response,
    /// The request id, which is stored under every setting.
    RequestId,
}

const SECRETS: [(&str, usize, Kind); 16] = [
    ("request body", 40, Kind::Never),
    ("authorization", 1, Kind::Never),
    ("request header", 1, Kind::Never),
    ("key", 1, Kind::Never),
    ("key of failure", 1, Kind::Never),
    ("scope", 1, Kind::Never),
    ("cookie", 1, Kind::Never),
    ("challenge", 1, Kind::Never),
    ("small body", 2, Kind::Response),
    ("large body", 300, Kind::Response),
    ("body of failure", 2, Kind::Response),
    ("location", 1, Kind::Response),
    ("response header", 1, Kind::Response),
    ("trailer", 1, Kind::Response),
    ("result", 4, Kind::Response),
    ("request id", 1, Kind::RequestId),
];

fn text(name: &str) -> String {
    let (_, digests, _) = SECRETS.iter().find(|(known, ..)| *known == name).unwrap();
    secret(name, *digests)
}

/// Finds each secret that shares a window with some bytes.
struct Finder {
    windows: HashMap<[u8; WINDOW], usize>,
    /// Whether a window begins with these two bytes; most do not, and are passed over quickly.
    begins: Vec<bool>,
}

impl Finder {
    fn new() -> Self {
        let mut finder = Self { windows: HashMap::new(), begins: vec![false; 1 << 16] };
        for (number, (name, digests, _)) in SECRETS.iter().enumerate() {
            for window in secret(name, *digests).as_bytes().windows(WINDOW) {
                finder.begins[usize::from(u16::from_be_bytes([window[0], window[1]]))] = true;
                finder.windows.insert(window.try_into().unwrap(), number);
            }
        }
        finder
    }

    fn search(&self, bytes: &[u8], found: &mut [bool]) {
        for window in bytes.windows(WINDOW) {
            if self.begins[usize::from(u16::from_be_bytes([window[0], window[1]]))]
                && let Some(number) = self.windows.get(window)
            {
                found[*number] = true;
            }
        }
    }

    /// The names of the secrets in the files below a directory.
    fn in_files(&self, directory: &Path) -> Vec<&'static str> {
        let mut found = [false; SECRETS.len()];
        let (mut open, mut bytes) = (vec![directory.to_path_buf()], 0);
        while let Some(path) = open.pop() {
            if path.is_dir() {
                open.extend(fs::read_dir(path).unwrap().map(|inside| inside.unwrap().path()));
            } else if path.is_file()
                // A server removes files while it runs.
                && let Ok(file) = fs::read(&path)
            {
                bytes += file.len();
                self.search(&file, &mut found);
            }
        }
        assert!(bytes > 4000, "there is no storage in {}", directory.display());
        SECRETS.iter().zip(found).filter(|(_, found)| *found).map(|(secret, _)| secret.0).collect()
    }
}

/// A store, and the files that contain its records.
trait Storage: Sized {
    async fn start() -> Self;
    async fn store(&self) -> DynStore;
    /// Writes everything down, and gives the directory where it is.
    async fn written(&self) -> &Path;
}

/// Every command that changes something is written down, as are the values by themselves.
struct Redis(RedisServer);

impl Storage for Redis {
    async fn start() -> Self {
        Self(RedisServer::start_durable())
    }

    async fn store(&self) -> DynStore {
        DynStore::new(RedisStore::open(&self.0.url()).unwrap())
    }

    async fn written(&self) -> &Path {
        self.0.save();
        self.0.directory()
    }
}

/// Tables, indexes, the write-ahead log and everything else in the directory of the server.
struct Postgres<const TX: bool>(PostgresServer);

impl<const TX: bool> Storage for Postgres<TX> {
    async fn start() -> Self {
        let server = PostgresServer::start();
        server.store().migrate().await.unwrap();
        Self(server)
    }

    async fn store(&self) -> DynStore {
        let store = self.0.store();
        if TX { DynStore::new(store.in_transaction()) } else { DynStore::new(store) }
    }

    async fn written(&self) -> &Path {
        let options: sqlx::postgres::PgConnectOptions = self.0.url().parse().unwrap();
        options.connect().await.unwrap().execute("CHECKPOINT").await.unwrap();
        self.0.directory()
    }
}

/// The directory with the file and the files beside it.
struct Sqlite<const TX: bool>(TempDir);

impl<const TX: bool> Sqlite<TX> {
    async fn open(&self) -> SqliteStore {
        SqliteStore::open(self.0.path().join("records.db")).await.unwrap()
    }
}

impl<const TX: bool> Storage for Sqlite<TX> {
    async fn start() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    async fn store(&self) -> DynStore {
        let store = self.open().await;
        if TX { DynStore::new(store.in_transaction()) } else { DynStore::new(store) }
    }

    async fn written(&self) -> &Path {
        self.0.path()
    }
}

/// A response full of secrets.
fn response(status: StatusCode, body: &str) -> Response<Body> {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", text("trailer").parse().unwrap());
    let mut response =
        Response::new(Body::new(Frames::known(&[body.as_bytes()]).trailers(trailers)));
    *response.status_mut() = status;
    let headers = [
        ("location", text("location")),
        ("x-token", text("response header")),
        ("set-cookie", text("cookie")),
        ("www-authenticate", text("challenge")),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::try_from(value).unwrap());
    }
    response
}

/// Sends secrets, and gets secrets back, in every way that leaves something in a store.
async fn exchange(guard: &TestLayer) {
    let effects = Effects::new();
    let router: Router = app(&effects, |request| async move {
        match request.uri().path() {
            "/small" => response(StatusCode::CREATED, &text("small body")),
            "/large" => response(StatusCode::CREATED, &text("large body")),
            "/500" => response(StatusCode::INTERNAL_SERVER_ERROR, &text("body of failure")),
            "/400" => response(StatusCode::BAD_REQUEST, &text("small body")),
            _ => panic!("as it was told to"),
        }
    });
    let server = Server::start(router.layer(guard.clone())).await;
    for (path, key) in [
        ("/small", text("key")),
        ("/large", format!("{}-large", text("key"))),
        ("/400", format!("{}-discarded", text("key"))),
        ("/500", text("key of failure")),
        ("/panic", format!("{}-panic", text("key of failure"))),
    ] {
        let call = post(path)
            .key(key)
            .header("Authorization", format!("Bearer {}", text("authorization")))
            .header("X-Scope", text("scope"))
            .header("X-Secret", text("request header"))
            .header("X-Request-Id", text("request id"))
            .body(text("request body"));
        for _ in 0..2 {
            call.send(&server).await;
        }
        call.body("another").send(&server).await;
    }
    assert!(effects.count() >= 5);

    let key = IdempotencyKey::parse(format!("{}-job", text("key")).as_bytes()).unwrap();
    let fingerprint = Fingerprint::of_fields([text("request body")]);
    let executed = guard
        .execute(&Scope::new(text("scope")), &key, fingerprint, |_| async {
            Ok::<_, std::io::Error>(text("result"))
        })
        .await;
    assert_eq!(executed.unwrap().value, text("result"));
}

/// The secrets that are found in a storage after exchanges with layers that have these settings,
/// each in a namespace of its own.
async fn found<S: Storage>(sets: &[fn(TestLayer) -> TestLayer]) -> Vec<&'static str> {
    let storage = S::start().await;
    for (number, set) in sets.iter().enumerate() {
        let guard = IdempotencyLayer::new(storage.store().await)
            .namespace(number.to_string())
            .scope(|parts| {
                Scope::new(parts.headers.get("x-scope").map_or(&[][..], HeaderValue::as_bytes))
            })
            .on_failed(OnFailed::Replay)
            .store_timeout(Duration::from_secs(20));
        exchange(&set(guard)).await;
    }
    Finder::new().in_files(storage.written().await)
}

fn keys() -> EncryptionKeys {
    EncryptionKeys::new(1, [7; 32])
}

/// The secrets of these kinds.
fn of(kinds: &[Kind]) -> Vec<&'static str> {
    SECRETS.iter().filter(|secret| kinds.contains(&secret.2)).map(|secret| secret.0).collect()
}

/// The control, without which the others would prove nothing: the same search finds each secret
/// that is stored. And of the request it finds none but its id.
async fn by_default_the_response_is_found_and_nothing_of_the_request<S: Storage>() {
    assert_eq!(found::<S>(&[|guard| guard]).await, of(&[Kind::Response, Kind::RequestId]));
}

async fn encrypted_nothing_is_found<S: Storage>() {
    let found = found::<S>(&[
        |guard| guard.encrypt(keys()),
        |guard| guard.encrypt(keys()).compress_above(64),
    ])
    .await;
    assert_eq!(found, [""; 0]);
}

/// The request id is stored, because it is made to be logged.
async fn with_the_status_alone_nothing_but_the_request_id_is_found<S: Storage>() {
    let found = found::<S>(&[
        |guard| guard.stored_response(StoredResponse::Status),
        |guard| guard.stored_response(StoredResponse::Nothing),
    ])
    .await;
    assert_eq!(found, of(&[Kind::RequestId]));
}

macro_rules! over {
    ($($store:ident: $storage:ty)*) => {
        $(over! { @ $store $storage;
            by_default_the_response_is_found_and_nothing_of_the_request
            encrypted_nothing_is_found
            with_the_status_alone_nothing_but_the_request_id_is_found
        })*
    };
    (@ $store:ident $storage:ty; $($name:ident)*) => {
        mod $store {
            use super::*;

            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    super::$name::<$storage>().await;
                }
            )*
        }
    };
}

over! {
    redis: Redis
    postgres: Postgres<false>
    postgres_tx: Postgres<true>
    sqlite: Sqlite<false>
    sqlite_tx: Sqlite<true>
}

#[test]
fn a_part_of_a_secret_is_found_in_the_midst_of_other_bytes_and_a_shorter_one_is_not() {
    let finder = Finder::new();
    let secret = text("large body");
    for place in [0, 1000, secret.len() - WINDOW] {
        let mut bytes = vec![b'0'; 5000];
        bytes[1234..1234 + WINDOW].copy_from_slice(&secret.as_bytes()[place..place + WINDOW]);
        let mut found = [false; SECRETS.len()];
        finder.search(&bytes, &mut found);
        assert_eq!(found.iter().filter(|found| **found).count(), 1);
    }
    let mut found = [false; SECRETS.len()];
    finder.search(&secret.as_bytes()[..WINDOW - 1], &mut found);
    assert_eq!(found, [false; SECRETS.len()]);
}
