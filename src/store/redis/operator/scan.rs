//! Reads all records, a few at a time.

use bytes::Bytes;
use redis::{RedisResult, Value};
use tokio::time::{Instant, sleep_until};

use super::place::Place;
use crate::record::key::StorageKey;
use crate::runtime::seldom::Seldom;
use crate::store::operator::RecordInfo;
use crate::store::redis::RedisStore;
use crate::store::redis::commands::{Commands, all};
use crate::store::redis::connection::Part;
use crate::store::redis::error::store_error;
use crate::store::redis::frame::Glance;
use crate::store::redis::slot_set::slot_of;
use crate::store::{StoreError, StoreErrorKind};

/// How many records are asked for in one round trip.
const AT_ONCE: usize = 100;
/// How many bytes of a record are read at first. They contain all but the body, unless the headers
/// are long.
const HEAD: &[u8] = b"1023";
/// How many are read if that was too little: more than the headers and trailers of a response have.
const LONG_HEAD: &[u8] = b"262143";
/// About as many bytes as a server sends for one name.
const NAME: usize = 128;

/// The reply to a question about one server.
const NO_CLUSTER: &str = "the server is one of a cluster, and has some of the records only: open the \
                          store with `redis+cluster://` or `RedisStore::cluster`";

/// Records can be damaged at any rate.
static UNREADABLE: Seldom = Seldom::new();

/// A scan of all records.
pub(super) struct Scan<'a> {
    store: &'a RedisStore,
    pattern: Vec<u8>,
    pub(super) place: Place,
    /// When the next step may begin.
    rested: Instant,
}

/// What one step has read.
pub(super) struct Step {
    pub(super) records: Vec<RecordInfo>,
    /// How many names the server has looked at, about.
    pub(super) read: u64,
    /// How many names there are, about.
    pub(super) of: u64,
    cursor: u64,
    part: Part,
}

impl<'a> Scan<'a> {
    /// The records whose names begin with these hexadecimal digits.
    pub(super) fn of(store: &'a RedisStore, digits: &str, place: Place) -> Self {
        let mut pattern = Vec::with_capacity(store.prefix.len() + 64);
        for byte in store.prefix.bytes() {
            if matches!(byte, b'*' | b'?' | b'[' | b']' | b'\\' | b'^') {
                pattern.push(b'\\');
            }
            pattern.push(byte);
        }
        pattern.extend_from_slice(digits.as_bytes());
        // So many characters and no more: not the names of bodies and of histories.
        pattern.resize(pattern.len() + 64 - digits.len(), b'?');
        Self { store, pattern, place, rested: Instant::now() }
    }

    /// Reads the next records. `None`: that were all.
    ///
    /// Pauses before that for as long as the last step took, so that a list takes half of the time
    /// of the server at most.
    pub(super) async fn step(&mut self) -> Result<Option<Step>, StoreError> {
        sleep_until(self.rested).await;
        let begun = Instant::now();
        let step = self.read_step().await;
        self.rested = Instant::now() + begun.elapsed();
        step
    }

    async fn read_step(&mut self) -> Result<Option<Step>, StoreError> {
        loop {
            let Some(slot) = self.place.done.first_missing() else { return Ok(None) };
            let turn = self.store.bodies.turn(NAME * self.place.count).await?;
            let part = turn.connection.part_with(slot).await.map_err(store_error)?;
            let mut buffers = (itoa::Buffer::new(), itoa::Buffer::new());
            let cursor = buffers.0.format(self.place.cursor).as_bytes();
            let count = buffers.1.format(self.place.count).as_bytes();
            let commands: [&[&[u8]]; 3] = [
                &[b"INFO", b"server"],
                &[b"DBSIZE"],
                &[b"SCAN", cursor, b"MATCH", &self.pattern, b"COUNT", count],
            ];
            let replies = turn.connection.send_to(&part, &Commands::of(&commands)).await;
            let (info, keys, (next, names)): (String, u64, (u64, Vec<Vec<u8>>)) =
                replies.and_then(all).map_err(store_error)?;
            drop(turn);
            if !part.is_of_cluster() && value(&info, "_mode:") == Some("cluster") {
                return Err(StoreError::new(StoreErrorKind::Unsupported).detail(NO_CLUSTER));
            }
            // Without it, names could be left out after a restart or a failover.
            let server = value(&info, "run_id:").and_then(|id| id.get(..16)).unwrap_or("unknown");
            if server != self.place.server {
                let is_begun = self.place.cursor != 0;
                self.place.begin(server, &part.slots);
                if is_begun {
                    continue;
                }
            }
            let keys_of_all = part.slots.share_of_all(keys);
            let read = if next == 0 { names.len() } else { self.place.count };
            let records = self.read(&part, names).await?;
            let step = Step { records, read: read as u64, of: keys_of_all, cursor: next, part };
            return Ok(Some(step));
        }
    }

    /// Goes on behind this step.
    pub(super) fn advance(&mut self, step: &Step) {
        self.place.advance(step.cursor, &step.part.slots);
    }

    async fn read(
        &self,
        part: &Part,
        mut names: Vec<Vec<u8>>,
    ) -> Result<Vec<RecordInfo>, StoreError> {
        names.sort_unstable();
        names.dedup();
        let keys = names.iter().filter_map(|name| self.key(name));
        let keys: Vec<_> = keys.filter(|key| !self.place.is_listed(key)).collect();
        let mut records = Vec::with_capacity(keys.len());
        for keys in keys.chunks(AT_ONCE) {
            self.read_some(part, keys, &mut records).await?;
        }
        Ok(records)
    }

    /// The key of a record with this name. `None` for other names, and for a record that was read
    /// before its slot came to this server.
    fn key(&self, name: &[u8]) -> Option<StorageKey> {
        let digits = name.strip_prefix(self.store.prefix.as_bytes())?;
        let key = StorageKey::from_hex(std::str::from_utf8(digits).ok()?)?;
        let is_done = !self.place.done.is_empty() && self.place.done.contains(slot_of(name));
        (!is_done && self.store.name(&key) == name).then_some(key)
    }

    async fn read_some(
        &self,
        part: &Part,
        keys: &[StorageKey],
        records: &mut Vec<RecordInfo>,
    ) -> Result<(), StoreError> {
        let mut commands = Commands::of(&[]);
        for key in keys {
            self.ask(&mut commands, key, HEAD);
        }
        let turn = self.store.bodies.turn(keys.len() << 10).await?;
        let replies = turn.connection.send_to(part, &commands).await.map_err(store_error)?;
        let (pairs, _) = replies.as_chunks::<2>();
        for (key, [frame, left]) in keys.iter().zip(pairs) {
            let found = match Found::of(frame, left) {
                Found::Unclear => {
                    // The headers are long, or the record is at another server of the cluster now.
                    let mut commands = Commands::of(&[]);
                    self.ask(&mut commands, key, LONG_HEAD);
                    let replies: RedisResult<Vec<Value>> =
                        turn.connection.send(&commands).await.and_then(all);
                    match &replies.map_err(store_error)?[..] {
                        [frame, left] => Found::of(frame, left),
                        _ => Found::Unclear,
                    }
                }
                found => found,
            };
            match found {
                Found::Record(found, left) => records.push(found.info(*key, left)),
                Found::Nothing => {}
                Found::Unclear => {
                    if UNREADABLE.is_due() {
                        tracing::error!(%key, "a damaged record is left out of the list");
                    }
                }
            }
        }
        Ok(())
    }

    fn ask(&self, commands: &mut Commands, key: &StorageKey, end: &[u8]) {
        let name = self.store.name(key);
        commands.add(&[&[b"GETRANGE", &name, b"0", end]]);
        commands.add(&[&[b"PTTL", &name]]);
    }
}

/// What there is under a name.
enum Found {
    /// The record, and its remaining time in milliseconds.
    Record(Box<Glance>, i64),
    /// The record is gone, or the name has another use.
    Nothing,
    /// The reply does not say.
    Unclear,
}

impl Found {
    fn of(frame: &Value, left: &Value) -> Self {
        let (frame, left) = match (frame, left) {
            (Value::ServerError(error), _) if error.code() == "WRONGTYPE" => return Self::Nothing,
            (Value::BulkString(frame), Value::Int(left)) => (frame, *left),
            _ => return Self::Unclear,
        };
        if frame.is_empty() || left == -2 {
            return Self::Nothing;
        }
        match Glance::of(Bytes::copy_from_slice(frame)) {
            Ok(found) => Self::Record(found.into(), left),
            Err(_) => Self::Unclear,
        }
    }
}

/// The value of the line whose name ends so.
fn value<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.split_once(name)).map(|(_, value)| value.trim_end())
}
