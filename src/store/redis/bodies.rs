//! Large bodies, apart from the small commands.
//!
//! On one connection a small command waits until each body before it has passed. So large bodies
//! have a connection of their own, and only so many bytes of them are in transfer at a time: two
//! connections may share one network link, and a body that no caller waits for any more must not
//! take its time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use redis::RedisResult;
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

use super::Connection;
use super::commands::{Commands, last};
use super::error::store_error;
use crate::runtime::deadlines::within;
use crate::runtime::lock::lock;
use crate::store::timeout::Timeout;
use crate::store::{StoreError, StoreErrorKind};

/// How many KiB may be in transfer at a time. A larger body passes alone.
const IN_TRANSFER: u32 = 4 << 10;

/// The connection for large bodies. Its clones share it, and what is in transfer.
#[derive(Clone)]
pub(super) struct Bodies {
    connection: Connection,
    shared: Arc<Shared>,
}

struct Shared {
    capacity: Semaphore,
    /// The bodies that are being read. A body never changes, so one read serves all callers.
    reads: Mutex<HashMap<Vec<u8>, Arc<OnceCell<Bytes>>>>,
    timeout: Timeout,
}

/// The part of the connection that one transfer has.
pub(super) struct Turn<'a> {
    pub(super) connection: &'a Connection,
    _capacity: SemaphorePermit<'a>,
}

impl Bodies {
    pub(super) fn on(connection: Connection, timeout: Timeout) -> Self {
        let capacity = Semaphore::new(IN_TRANSFER as usize);
        Self { connection, shared: Arc::new(Shared { capacity, reads: Mutex::default(), timeout }) }
    }

    /// Waits until a body of this size may pass.
    pub(super) async fn turn(&self, bytes: usize) -> Result<Turn<'_>, StoreError> {
        let size = u32::try_from(bytes.div_ceil(1024)).unwrap_or(IN_TRANSFER).clamp(1, IN_TRANSFER);
        let capacity = within(self.shared.timeout.get(), self.shared.capacity.acquire_many(size));
        match capacity.await {
            Some(Ok(capacity)) => Ok(Turn { connection: &self.connection, _capacity: capacity }),
            Some(Err(closed)) => Err(StoreError::with_source(StoreErrorKind::Unavailable, closed)),
            None => Err(StoreError::new(StoreErrorKind::Unavailable)),
        }
    }

    /// Reads the body of this name and size. `None` if there is none. Callers that read it at the
    /// same time share one read. If the caller that reads gives up, another one reads.
    pub(super) async fn read(
        &self,
        name: Vec<u8>,
        bytes: usize,
    ) -> Result<Option<Bytes>, StoreError> {
        let reading = Reading::join(&self.shared, name);
        let read = reading.body.get_or_try_init(async || {
            let turn = self.turn(bytes).await.map_err(Some)?;
            let get = Commands::of(&[&[b"GET", &reading.name]]);
            let found: RedisResult<Option<Vec<u8>>> =
                turn.connection.send(&get).await.and_then(last);
            found.map_err(|error| Some(store_error(error)))?.map(Bytes::from).ok_or(None)
        });
        match read.await {
            Ok(body) => Ok(Some(body.clone())),
            Err(None) => Ok(None),
            Err(Some(error)) => Err(error),
        }
    }
}

/// One caller of those that read a body.
struct Reading<'a> {
    shared: &'a Shared,
    name: Vec<u8>,
    body: Arc<OnceCell<Bytes>>,
}

impl<'a> Reading<'a> {
    fn join(shared: &'a Shared, name: Vec<u8>) -> Self {
        let body = Arc::clone(lock(&shared.reads).entry(name.clone()).or_default());
        Self { shared, name, body }
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let mut reads = lock(&self.shared.reads);
        // The other one is in the map.
        if Arc::strong_count(&self.body) == 2 {
            reads.remove(&self.name);
        }
    }
}
