//! The rows of the table.

use super::load::{HEADER, Keys, Load};
use super::stacks::Store;

pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) store: Store,
    pub(crate) load: Load,
}

impl Row {
    fn new(name: &'static str, store: Store, keys: Keys) -> Self {
        let path = "/payments".into();
        let load =
            Load { address: String::new(), path, header: HEADER, keys, body: 200, connections: 64 };
        Self { name, store, load }
    }

    fn connections(mut self, connections: usize) -> Self {
        self.load.connections = connections;
        self
    }

    fn response(mut self, bytes: usize) -> Self {
        self.load.path = format!("/payments?response={bytes}");
        self.connections(16)
    }

    fn request(mut self, bytes: usize) -> Self {
        self.load.body = bytes;
        self.load.path = "/swallow".into();
        self
    }
}

/// Few keys, so that a warm-up stores them all.
const POOL: Keys = Keys::Pool(256);

pub(crate) fn all() -> Vec<Row> {
    use Keys::{None, Unique};
    use Store::{Memory, Redis};
    vec![
        Row::new("no key", Memory, None),
        Row::new("memory, first", Memory, Unique),
        Row::new("memory, replay", Memory, POOL),
        Row::new("Redis, first", Redis, Unique),
        Row::new("Redis, replay", Redis, POOL),
        Row::new("Redis, one connection, first", Redis, Unique).connections(1),
        Row::new("Redis, one connection, replay", Redis, POOL).connections(1),
        Row::new("Redis, response of 16 KiB, first", Redis, Unique).response(16 << 10),
        Row::new("Redis, response of 16 KiB, replay", Redis, POOL).response(16 << 10),
        Row::new("Redis, response of 256 KiB, first", Redis, Unique).response(256 << 10),
        Row::new("Redis, response of 256 KiB, replay", Redis, POOL).response(256 << 10),
        Row::new("memory, request of 16 KiB, first", Memory, Unique).request(16 << 10),
        Row::new("memory, request of 256 KiB, first", Memory, Unique).request(256 << 10),
    ]
}

/// The paths whose records are weighed.
pub(crate) fn weighed() -> [Row; 2] {
    [
        Row::new("bytes per record, memory", Store::Memory, Keys::Unique),
        Row::new("bytes per record, Redis", Store::Redis, Keys::Unique),
    ]
}
