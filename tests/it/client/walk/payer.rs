//! The process that pays. It writes down what it has paid, and only then drops a key.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::num::NonZeroU32;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use reqwest::redirect::Policy;
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tower::Layer;
use tower_idempotency::IdempotencyKey;
use tower_idempotency::client::{
    Client, Disposition, FileKeyStore, KeyStore, Operation, Operations, Report, Reported,
    StoredKey, observed_redirects,
};

use super::super::{Connections, connections, quick};
use crate::support::random::{Draw, setting};

/// How long the process waits for a response in the storm.
pub(super) const ATTEMPT: Duration = Duration::from_millis(400);
/// How many names it pays at the same time.
const AT_ONCE: usize = 16;
/// How often it begins an operation in the storm, before it leaves it to a later run.
const TRIES: usize = 3;

/// What one process is to pay, and where it writes that down.
#[derive(Clone)]
pub(super) struct Part {
    pub(super) names: Range<usize>,
    pub(super) place: PathBuf,
    pub(super) url: String,
}

impl Part {
    /// Tells it to a process.
    pub(super) fn write(&self, seed: Option<u64>, command: &mut Command) {
        command
            .env("WALK_FROM", self.names.start.to_string())
            .env("WALK_TO", self.names.end.to_string());
        command.env("WALK_PLACE", &self.place).env("WALK_URL", &self.url);
        command.env("WALK_STORM", seed.map(|seed| seed.to_string()).unwrap_or_default());
    }

    /// What the process was told.
    fn read() -> (Self, Option<u64>) {
        let path: PathBuf = setting("WALK_PLACE", PathBuf::new());
        let names = setting("WALK_FROM", 0)..setting("WALK_TO", 0);
        (
            Self { names, place: path, url: setting("WALK_URL", String::new()) },
            setting("WALK_STORM", String::new()).parse().ok(),
        )
    }
}

#[tokio::test]
#[ignore = "a process of the walk, which starts it"]
async fn pays_its_part() {
    let (part, storm) = Part::read();
    if part.place.as_os_str().is_empty() {
        return;
    }
    let payer = Arc::new(Payer::new(&part, storm));
    let known = Journal::read(&part.place.join("journal"));
    let stored = payer.stored().await;
    let (places, mut payments) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
    for name in part.names.map(Part::name) {
        // A name that is paid, and whose key is left, is sent once more in calm weather.
        if known.contains_key(&name) && !stored.contains(&name) {
            continue;
        }
        let (payer, places) = (Arc::clone(&payer), Arc::clone(&places));
        payments.spawn(async move {
            let _place = places.acquire_owned().await;
            if payer.in_storm {
                for _ in 0..TRIES {
                    if payer.pay(&name).await == Some(Paid::Yes) {
                        break;
                    }
                }
            } else {
                let mut paid = payer.pay(&name).await;
                // The bank may have rejected it in the storm, and the response was lost: the layer
                // replays it. The name is finished then, and free.
                if paid == Some(Paid::No) {
                    paid = payer.pay(&name).await;
                }
                assert_eq!(paid, Some(Paid::Yes), "{name}");
            }
        });
    }
    payments.join_all().await;
    if !payer.in_storm {
        assert_eq!(payer.stored().await, [""; 0]);
    }
}

struct Payer {
    operations: Operations<Unreliable>,
    hyper: Client<Connections>,
    /// It follows redirects.
    reqwest: ClientWithMiddleware,
    url: String,
    journal: Journal,
    in_storm: bool,
}

/// A final outcome.
#[derive(Debug, PartialEq)]
enum Paid {
    Yes,
    No,
}

impl Payer {
    fn new(part: &Part, storm: Option<u64>) -> Self {
        let draw = storm.map(Draw::from_seed);
        let inner = FileKeyStore::open(part.place.join("keys")).unwrap();
        let layer = match storm {
            Some(_) => quick().attempt_timeout(ATTEMPT).max_attempts(NonZeroU32::new(4).unwrap()),
            None => quick(),
        };
        let reqwest = reqwest::Client::builder().redirect(observed_redirects(Policy::default()));
        Self {
            operations: Operations::new(Unreliable { inner, draw: Mutex::new(draw) }),
            hyper: layer.layer(connections()),
            reqwest: ClientBuilder::new(reqwest.build().unwrap()).with(layer).build(),
            url: part.url.clone(),
            journal: Journal::open(&part.place.join("journal")),
            in_storm: storm.is_some(),
        }
    }

    /// The names whose keys are stored. In the storm they may be unknown.
    async fn stored(&self) -> Vec<String> {
        let stored = self.operations.pending().await;
        if self.in_storm {
            return Vec::new();
        }
        stored.unwrap().into_iter().map(|stored| stored.operation).collect()
    }

    /// Tries once to pay, and gives the outcome if it is final.
    async fn pay(&self, name: &str) -> Option<Paid> {
        let begun = self.operations.begin(name).await;
        if begun.is_err() && self.in_storm {
            return None;
        }
        let mut operation = begun.unwrap();
        let (report, response) = self.send(&mut operation, name).await;
        assert_eq!(report.key(), Some(operation.key()), "{name}");
        if report.disposition() != Disposition::Final {
            return None;
        }
        let (status, body) = response.expect("an error is never final");
        let is_paid = status == StatusCode::CREATED;
        if is_paid {
            self.journal.write(name, std::str::from_utf8(&body).unwrap());
        }
        match operation.finish().await {
            Ok(is_final) => assert!(is_final, "{name}: {status}"),
            Err(error) => assert!(self.in_storm, "{name}: {error}"),
        }
        Some(if is_paid { Paid::Yes } else { Paid::No })
    }

    /// Sends the operation by one of the two clients, and asks what came of it.
    async fn send(
        &self,
        operation: &mut Operation<Unreliable>,
        name: &str,
    ) -> (Report, Option<(StatusCode, Bytes)>) {
        const ASKED: &str = "every response and every error says what it means";
        if name.ends_with(['1', '3', '5', '7', '9']) {
            let request = self.reqwest.post(&self.url).body(name.to_owned());
            let result = operation.send_reqwest(request).await;
            let report = result.report().expect(ASKED).clone();
            let Ok(response) = result else { return (report, None) };
            let status = response.status();
            return (report, Some((status, response.bytes().await.unwrap())));
        }
        let request =
            Request::post(&self.url).body(Full::new(Bytes::from(name.to_owned()))).unwrap();
        let result = operation.send(&mut self.hyper.clone(), request).await;
        let report = result.report().expect(ASKED).clone();
        let Ok(response) = result else { return (report, None) };
        let status = response.status();
        (report, Some((status, response.into_body().collect().await.unwrap().to_bytes())))
    }
}

/// The payments, one line for each. A process that is killed leaves a whole line or none.
pub(super) struct Journal(File);

impl Journal {
    fn open(path: &Path) -> Self {
        Self(OpenOptions::new().append(true).create(true).open(path).unwrap())
    }

    /// The payment of each name.
    pub(super) fn read(path: &Path) -> HashMap<String, String> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines()
            .map(|line| line.split_once('\t').unwrap())
            .map(|(name, id)| (name.to_owned(), id.to_owned()))
            .collect()
    }

    fn write(&self, name: &str, id: &str) {
        (&self.0).write_all(format!("{name}\t{id}\n").as_bytes()).unwrap();
    }
}

/// Files of keys that fail at random: before something is done, and after it.
struct Unreliable {
    inner: FileKeyStore,
    draw: Mutex<Option<Draw>>,
}

impl Unreliable {
    fn may_fail(&self) -> io::Result<()> {
        let mut draw = self.draw.lock().unwrap();
        if draw.as_mut().is_some_and(|draw| draw.chance(5)) {
            return Err(io::Error::other("the walk says so"));
        }
        Ok(())
    }
}

impl KeyStore for Unreliable {
    async fn put_if_absent(&self, new: StoredKey) -> io::Result<StoredKey> {
        self.may_fail()?;
        let stored = self.inner.put_if_absent(new).await;
        self.may_fail().and(stored)
    }

    async fn remove(&self, operation: &str, key: &IdempotencyKey) -> io::Result<()> {
        self.may_fail()?;
        let removed = self.inner.remove(operation, key).await;
        self.may_fail().and(removed)
    }

    async fn remove_unshared(&self, operation: &str, key: &IdempotencyKey) -> io::Result<bool> {
        self.may_fail()?;
        let removed = self.inner.remove_unshared(operation, key).await;
        self.may_fail().and(removed)
    }

    async fn list(&self) -> io::Result<Vec<StoredKey>> {
        self.may_fail()?;
        self.inner.list().await
    }
}
