//! The keys whose transactions are open in this process. Those of other processes cannot be seen
//! before they commit.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::Future;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use crate::record::fingerprint::Fingerprint;
use crate::record::key::StorageKey;
use crate::runtime::lock::lock;
use crate::store::{Record, ReserveRequest, State, StoreError, Token};

/// A clone is the same set of keys.
#[derive(Clone, Default)]
pub(in crate::store::sql) struct Claims(Arc<Keys>);

type Keys = Mutex<HashMap<StorageKey, Taken>>;

struct Taken {
    fingerprint: Fingerprint,
    token: Token,
    /// Until it is known whether this is an attempt, or finds a response.
    asking: Option<watch::Receiver<Option<Record>>>,
}

/// One key, until this is dropped.
pub(in crate::store::sql) struct Claimed {
    keys: Arc<Keys>,
    key: StorageKey,
    /// Dropped with this, or when the attempt begins. The waiters then look again, unless they were
    /// told.
    asking: Option<watch::Sender<Option<Record>>>,
}

impl Claims {
    /// Claims the key of a request in this process, or returns its record. The record is an attempt
    /// that runs here, one that another request here has just found, or one that `look` finds.
    ///
    /// `look` comes last, because it takes a connection, and an attempt may hold the only one.
    pub(in crate::store::sql) async fn claim<F>(
        &self,
        request: &ReserveRequest,
        token: Token,
        look: impl Fn() -> F,
    ) -> Result<Result<Claimed, Box<Record>>, StoreError>
    where
        F: Future<Output = Result<Option<Record>, StoreError>>,
    {
        loop {
            if let Some(found) = self.known(request).await {
                return Ok(Err(Box::new(found)));
            }
            if let Some(found) = look().await?.filter(|found| !found.yields_to(request)) {
                return Ok(Err(Box::new(found)));
            }
            // Another request may have claimed it meanwhile.
            if let Entry::Vacant(free) = lock(&self.0).entry(request.key) {
                let (sender, asking) = watch::channel(None);
                free.insert(Taken {
                    fingerprint: request.fingerprint,
                    token,
                    asking: Some(asking),
                });
                let keys = Arc::clone(&self.0);
                return Ok(Ok(Claimed { keys, key: request.key, asking: Some(sender) }));
            }
        }
    }

    /// The record that this process knows by itself. Waits for a request that is asking the
    /// database.
    async fn known(&self, request: &ReserveRequest) -> Option<Record> {
        loop {
            let mut asking = match lock(&self.0).get(&request.key)? {
                Taken { asking: Some(asking), .. } => asking.clone(),
                Taken { fingerprint, token, .. } => return Some(in_flight(*fingerprint, *token)),
            };
            // It may find a response soon, so it does not count as a running attempt. The wait ends
            // with the sender, and the last value stays.
            while asking.changed().await.is_ok() {}
            let told = asking.borrow().clone();
            if let Some(found) = told.filter(|found| !found.yields_to(request)) {
                return Some(found);
            }
        }
    }
}

/// The record of an attempt that has not written one.
pub(in crate::store::sql) fn in_flight(fingerprint: Fingerprint, token: Token) -> Record {
    Record::new(fingerprint, 1, token, State::Pending { abandoned: false })
}

impl Claimed {
    /// Tells the waiters which record there is.
    pub(super) fn tell(&self, found: &Record) {
        if let Some(asking) = &self.asking {
            asking.send_replace(Some(found.clone()));
        }
    }

    /// The attempt begins.
    pub(super) fn run(&mut self) {
        if let Some(taken) = lock(&self.keys).get_mut(&self.key) {
            taken.asking = None;
        }
        self.asking = None;
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        lock(&self.keys).remove(&self.key);
    }
}
