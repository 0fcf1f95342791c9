//! [`Operator`]: finds records, and settles them by hand.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::flow::shared::Shared;
use crate::handler::attempt::downstream::Downstream;
use crate::layer::IdempotencyLayer;
use crate::record::key::{IdempotencyKey, Scope, ScopeDigest, StorageKey};
use crate::settings::Config;
use crate::store::operator::{
    Cursor, History, ListPage, ListRequest, RecordInfo, RecordState, StatsPage,
};
use crate::store::{Record, State, Store, StoreError, StoreErrorKind};

mod error;
#[cfg(feature = "metrics")]
mod report;
mod response;
mod same;
mod settle;
mod text;

pub use error::OperatorError;
pub use response::InvalidResponse;
pub use settle::{Erased, Settle, Settled};
pub use text::InvalidText;
use text::checked;

/// The most bytes of the name of an operator.
const NAME: usize = 128;

/// How long an audit entry stays by default.
const AUDIT_RETENTION: Duration = Duration::from_hours(90 * 24);

/// Finds records, and settles them by hand, in the name of one operator.
///
/// Each change is one atomic step of the store. It applies only if the record is still the one that
/// the operator saw, and leaves an audit entry. The same change a second time changes nothing and
/// says so, so a reconciler may send it again.
///
/// An attempt that runs is left alone, unless [`even_in_flight`](Self::even_in_flight) is set.
/// Then it learns that its lease is lost ([`Attempt::lease_lost`](crate::Attempt::lease_lost)), and
/// its response is not stored.
///
/// ```
/// use tower_idempotency::operate::Settle;
/// use tower_idempotency::store::operator::{ListFilter, ListRequest, StateFilter};
/// use tower_idempotency::{IdempotencyLayer, MemoryStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let layer = IdempotencyLayer::new(MemoryStore::new()).label_records();
/// let operator = layer.operator("reconciler")?;
/// let stuck = ListRequest::new(ListFilter::new().state(StateFilter::Stuck));
/// for record in operator.list(&stuck).await?.records {
///     // The payment provider knows nothing about this operation.
///     let _ = operator.release(&record, "not found at the provider").await?;
/// }
/// # Ok(())
/// # }
/// ```
pub struct Operator<St> {
    config: Arc<Config>,
    shared: Arc<Shared<St>>,
    by: String,
    may_fence: bool,
    may_replace_unreadable: bool,
    audit_retention: Duration,
}

/// What an operator learns of a key.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ShownRecord {
    /// The record, if there is one.
    pub record: Option<RecordInfo>,
    /// What operators did, the oldest first. It stays longer than the record.
    pub history: History,
    /// Why its response cannot be read: for example
    /// [`Decrypt`](StoreErrorKind::Decrypt), if this layer does not have its key. `None`: it can.
    pub unreadable: Option<StoreErrorKind>,
    /// How many headers its response has. `None`: it has no response, or that cannot be read.
    pub response_headers: Option<usize>,
}

impl<St: Store> IdempotencyLayer<St> {
    /// Returns the operators' side of the store. `by` names a person or a program. Audit
    /// entries contain the name.
    ///
    /// Namespace, secret and encryption are those of the layer, so that keys are found and
    /// responses can be read.
    ///
    /// # Errors
    ///
    /// If the name is empty, has more than 128 bytes, or contains control characters.
    pub fn operator(&self, by: &str) -> Result<Operator<St>, InvalidText> {
        self.prepare_store();
        Ok(Operator {
            config: Arc::clone(&self.config),
            shared: Arc::clone(&self.shared),
            by: checked(by, NAME)?,
            may_fence: false,
            may_replace_unreadable: false,
            audit_retention: AUDIT_RETENTION,
        })
    }
}

impl<St: Store> Operator<St> {
    /// Also changes records whose attempts run. Such an attempt loses its lease, and its response
    /// is not stored.
    ///
    /// **The attempt goes on**, until its handler looks at
    /// [`Attempt::lease_lost`](crate::Attempt::lease_lost). After a release, a retry runs beside it.
    #[must_use]
    pub fn even_in_flight(self) -> Self {
        Self { may_fence: true, ..self }
    }

    /// Also settles records whose response this layer cannot read, because their encryption key is
    /// lost or they are damaged.
    ///
    /// **A layer without the keys of the service can read none of its responses.** Clients would
    /// lose responses that the service can still replay.
    #[must_use]
    pub fn even_unreadable(self) -> Self {
        Self { may_replace_unreadable: true, ..self }
    }

    /// Sets how long audit entries stay. Default: 90 days.
    #[must_use]
    pub fn audit_retention(self, audit_retention: Duration) -> Self {
        Self { audit_retention, ..self }
    }

    /// The name of the record of a client's key.
    pub fn storage_key(&self, scope: &Scope, key: &IdempotencyKey) -> StorageKey {
        self.config.storage_key(scope, key)
    }

    /// The digest of a scope, as labelled records have it.
    pub fn scope_digest(&self, scope: &Scope) -> ScopeDigest {
        ScopeDigest::of(self.config.secret_bytes(), scope)
    }

    /// The key under which the operation called another system:
    /// [`Attempt::downstream_key`](crate::Attempt::downstream_key) for the same purpose. A
    /// reconciler asks that system by it.
    pub fn downstream_key(&self, key: &StorageKey, purpose: &str) -> String {
        let secret = self.config.downstream.clone();
        Downstream { operation: *key, secret }.key(purpose)
    }

    /// Returns a page of records, without their responses.
    ///
    /// # Errors
    ///
    /// If the store fails, or does not support it.
    pub async fn list(&self, request: &ListRequest) -> Result<ListPage, StoreError> {
        self.shared.store.list(request).await
    }

    /// Returns the record of a key without its response, and what operators did to it.
    ///
    /// # Errors
    ///
    /// If the store fails, or does not support it. A response that cannot be read is not an error.
    pub async fn show(&self, key: &StorageKey) -> Result<ShownRecord, StoreError> {
        let shown = self.shared.store.show(key).await?;
        let read = match &shown.record {
            Some(seen @ RecordInfo { state: RecordState::Success { .. }, .. }) => {
                self.read(seen).await?
            }
            _ => Read::AnotherRecord,
        };
        let (unreadable, response_headers) = match read {
            Read::Response { headers, .. } => (None, Some(headers)),
            Read::Unreadable { kind, .. } => (Some(kind), None),
            Read::AnotherRecord => (None, None),
        };
        let (record, history) = (shown.record, shown.history);
        Ok(ShownRecord { record, history, unreadable, response_headers })
    }

    /// Counts the records by state, or a part of them: add up the parts until there is no next one.
    ///
    /// # Errors
    ///
    /// If the store fails, or does not support it.
    pub async fn stats(&self, after: Option<&Cursor>) -> Result<StatsPage, StoreError> {
        self.shared.store.stats(after).await
    }

    /// Reads the response of a record.
    async fn read(&self, seen: &RecordInfo) -> Result<Read, StoreError> {
        // What cannot be read at all may be a response.
        let mut is_replayed = true;
        let read = match self.shared.store.inspect(&seen.key).await {
            Ok(Some(record)) if record.token == seen.token => {
                is_replayed = RecordState::of(&record.state).is_replayed();
                self.config.unpack(&seen.key, record)
            }
            Ok(_) => return Ok(Read::AnotherRecord),
            Err(error) => Err(error),
        };
        match read {
            Ok(Record { state: State::Success(outcome), .. }) => {
                Ok(Read::Response { headers: outcome.headers.len(), is_replayed })
            }
            Ok(_) => Ok(Read::AnotherRecord),
            Err(error) => match error.kind() {
                kind @ (StoreErrorKind::Decrypt | StoreErrorKind::Corrupt) => {
                    Ok(Read::Unreadable { kind, is_replayed })
                }
                _ => Err(error),
            },
        }
    }
}

/// The result of reading a response.
enum Read {
    Response {
        headers: usize,
        /// Whether clients get it.
        is_replayed: bool,
    },
    Unreadable {
        kind: StoreErrorKind,
        /// Whether clients of a service that can read it may get it.
        is_replayed: bool,
    },
    /// The record is no longer the one that was seen.
    AnotherRecord,
}

impl<St> Clone for Operator<St> {
    fn clone(&self) -> Self {
        Self {
            config: Arc::clone(&self.config),
            shared: Arc::clone(&self.shared),
            by: self.by.clone(),
            ..*self
        }
    }
}

impl<St> fmt::Debug for Operator<St> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operator").field("by", &self.by).finish_non_exhaustive()
    }
}
