//! [`Operator`]: finds records, and settles them by hand.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::flow::shared::{Shared, within};
use crate::layer::IdempotencyLayer;
use crate::record::digest::Framed;
use crate::record::key::{IdempotencyKey, Scope, ScopeDigest, StorageKey};
use crate::record::outcome::{NotRetained, Outcome, StoredBody};
use crate::settings::Config;
use crate::store::operator::{
    AuditEntry, Becomes, Cursor, History, Intervened, Intervention, ListFilter, ListPage,
    ListRequest, OperatorAction, RecordInfo, RecordState, StatsPage,
};
use crate::store::{Record, State, Store, StoreError, StoreErrorKind, Token};

mod text;

pub use text::InvalidText;
use text::checked;

/// The most bytes of the name of an operator, and of a reason.
const NAME: usize = 128;
const REASON: usize = 1024;

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
    audit_retention: Duration,
}

/// How an operation is settled by hand.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Settle {
    /// It was done. Clients get this response from now on.
    Respond(Outcome),
    /// It failed, with this status if there was one. The next request runs it again, unless
    /// [`on_failed`](IdempotencyLayer::on_failed) says otherwise.
    Fail(Option<StatusCode>),
    /// It was done, and there is no response for clients: they get 409
    /// `idempotency_result_not_retained` with this status as `original_status`.
    Conclude(StatusCode),
}

/// The result of a change by an operator.
#[derive(Debug, Clone)]
#[must_use = "the record may have changed since the operator saw it"]
pub enum Settled {
    /// The record was changed.
    Applied,
    /// The same change was made before. Nothing was changed now.
    AlreadyApplied,
    /// The record is no longer the one that the operator saw. Nothing was changed. Contains the
    /// record as it is now; `None`: there is none.
    Moved(Option<Box<RecordInfo>>),
    /// An attempt runs, and [`even_in_flight`](Operator::even_in_flight) is not set. Nothing was
    /// changed.
    InFlight,
    /// Clients get the response of the operation, so there is nothing to settle. Nothing was
    /// changed.
    HasResponse,
}

impl Settled {
    /// Whether the record is as the operator wants it.
    pub fn is_applied(&self) -> bool {
        matches!(self, Self::Applied | Self::AlreadyApplied)
    }
}

impl fmt::Display for Settled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Applied => f.write_str("done"),
            Self::AlreadyApplied => f.write_str("this was done before: nothing was changed"),
            Self::Moved(None) => {
                f.write_str("the record is gone since you saw it: nothing was changed")
            }
            Self::Moved(Some(now)) => write!(
                f,
                "the record has moved on since you saw it, and is now {}, attempt {}: nothing was \
                 changed; look at it again",
                now.state.word(),
                now.attempt
            ),
            Self::InFlight => f.write_str(
                "an attempt runs: nothing was changed; wait until it ends or its lease lapses",
            ),
            Self::HasResponse => f.write_str(
                "clients get the response of this operation: nothing was changed; erase the record \
                 to run the operation again",
            ),
        }
    }
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

/// What can be read of a response.
#[derive(Default)]
struct Readable {
    headers: Option<usize>,
    unreadable: Option<StoreErrorKind>,
}

/// The error of an operator's request.
#[derive(Debug)]
#[non_exhaustive]
pub enum OperatorError {
    /// The store failed. A change may have taken effect: send it again.
    Store(StoreError),
    /// The name of the operator or the reason cannot be stored.
    Text(InvalidText),
}

impl fmt::Display for OperatorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Text(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for OperatorError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Store(error) => error.source(),
            Self::Text(_) => None,
        }
    }
}

impl From<StoreError> for OperatorError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<InvalidText> for OperatorError {
    fn from(error: InvalidText) -> Self {
        Self::Text(error)
    }
}

impl<St: Store> IdempotencyLayer<St> {
    /// Returns the operators' side of the store, for a person or a program of this name. Audit
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
        let Readable { headers, unreadable } = match &shown.record {
            Some(RecordInfo { state: RecordState::Success { .. }, .. }) => {
                self.readable(key).await?
            }
            _ => Readable::default(),
        };
        let (record, history) = (shown.record, shown.history);
        Ok(ShownRecord { record, history, unreadable, response_headers: headers })
    }

    /// What can be read of the response of a record.
    async fn readable(&self, key: &StorageKey) -> Result<Readable, StoreError> {
        let read = match self.shared.store.inspect(key).await {
            Ok(Some(record)) => self.config.unpack(key, record).map(Some),
            other => other,
        };
        match read {
            Ok(Some(Record { state: State::Success(outcome), .. })) => {
                Ok(Readable { headers: Some(outcome.headers.len()), unreadable: None })
            }
            Ok(_) => Ok(Readable::default()),
            Err(error) => match error.kind() {
                kind @ (StoreErrorKind::Decrypt | StoreErrorKind::Corrupt) => {
                    Ok(Readable { headers: None, unreadable: Some(kind) })
                }
                _ => Err(error),
            },
        }
    }

    /// Counts the records by state, or a part of them: add up the parts until there is no next one.
    ///
    /// # Errors
    ///
    /// If the store fails, or does not support it.
    pub async fn stats(&self, after: Option<&Cursor>) -> Result<StatsPage, StoreError> {
        self.shared.store.stats(after).await
    }

    /// Says that nothing happened: the key is free, and the next request runs the operation as its
    /// first attempt. For abandoned and failed operations.
    ///
    /// **If the operation did have an effect, a retry has it a second time.**
    ///
    /// # Errors
    ///
    /// If the reason is empty, has more than 1,024 bytes or contains control characters, or if the
    /// store fails.
    pub async fn release(&self, seen: &RecordInfo, reason: &str) -> Result<Settled, OperatorError> {
        self.change(seen, OperatorAction::Release, Becomes::Free, reason).await
    }

    /// Settles an operation whose outcome the operator knows: one that was abandoned, that failed,
    /// or whose response was not retained or cannot be read.
    ///
    /// # Errors
    ///
    /// As [`release`](Self::release).
    pub async fn settle(
        &self,
        seen: &RecordInfo,
        settle: Settle,
        reason: &str,
    ) -> Result<Settled, OperatorError> {
        let bare = |status, reason| Outcome::new(status, StoredBody::NotRetained(reason));
        let (action, state) = match settle {
            Settle::Respond(outcome) => (OperatorAction::Respond, State::Success(outcome)),
            Settle::Fail(status) => {
                let outcome = status.map(|status| bare(status, NotRetained::Failure));
                (OperatorAction::Fail, State::Failed(outcome))
            }
            Settle::Conclude(status) => {
                (OperatorAction::Conclude, State::Success(bare(status, NotRetained::Settled)))
            }
        };
        let becomes = Becomes::Ended { state, retention: self.config.retention };
        self.change(seen, action, becomes, reason).await
    }

    /// Deletes a record, whatever its state: the operation is forgotten, and a retry runs it again.
    /// The audit entry stays.
    ///
    /// # Errors
    ///
    /// As [`release`](Self::release).
    pub async fn erase(&self, seen: &RecordInfo, reason: &str) -> Result<Settled, OperatorError> {
        self.change(seen, OperatorAction::Erase, Becomes::Free, reason).await
    }

    /// Deletes the records of a scope that a filter finds, a page at a time. Records whose attempts
    /// run stay, unless [`even_in_flight`](Self::even_in_flight) is set. Call it again with the
    /// returned [`next`](Erased::next) until there is none.
    ///
    /// Only [labelled](IdempotencyLayer::label_records) records have a scope.
    ///
    /// # Errors
    ///
    /// As [`release`](Self::release). Records that were deleted before are gone.
    pub async fn erase_scope(
        &self,
        scope: ScopeDigest,
        reason: &str,
        after: Option<Cursor>,
    ) -> Result<Erased, OperatorError> {
        let filter = ListFilter::new().scope(scope);
        let page = self.list(&ListRequest::new(filter).after(after)).await?;
        let mut erased = Erased { next: page.next, ..Erased::default() };
        for record in page.records {
            match self.erase(&record, reason).await? {
                Settled::Applied | Settled::AlreadyApplied => erased.records += 1,
                Settled::Moved(None) => {}
                Settled::Moved(Some(_)) | Settled::InFlight | Settled::HasResponse => {
                    erased.left += 1;
                }
            }
        }
        Ok(erased)
    }

    async fn change(
        &self,
        seen: &RecordInfo,
        action: OperatorAction,
        becomes: Becomes,
        reason: &str,
    ) -> Result<Settled, OperatorError> {
        let reason = checked(reason, REASON)?;
        let is_erasure = action == OperatorAction::Erase;
        match seen.state {
            RecordState::InFlight if !self.may_fence => return Ok(Settled::InFlight),
            RecordState::Success { not_retained: None, .. }
                if !is_erasure && self.readable(&seen.key).await?.unreadable.is_none() =>
            {
                return Ok(Settled::HasResponse);
            }
            // Only what is known can replace it: the operation was done.
            RecordState::Success { .. }
                if matches!(action, OperatorAction::Release | OperatorAction::Fail) =>
            {
                return Ok(Settled::HasResponse);
            }
            _ => {}
        }
        let entry = AuditEntry::new(id(seen, action, &becomes), action, &self.by, &reason, seen);
        let becomes = self.packed(seen, becomes)?;
        let change = Intervention::new(seen.clone(), becomes, entry, self.audit_retention);
        let store = &self.shared.store;
        let intervened = within(self.config.store_timeout, store.intervene(&change)).await?;
        Ok(match intervened {
            Intervened::Applied => {
                tracing::info!(
                    key = %seen.key, action = action.word(), by = %self.by, attempt = seen.attempt,
                    was = seen.state.word(),
                    "record changed by an operator"
                );
                Settled::Applied
            }
            Intervened::AlreadyApplied => Settled::AlreadyApplied,
            Intervened::Moved(now) => Settled::Moved(now),
        })
    }

    /// The response as the layer stores it.
    fn packed(&self, seen: &RecordInfo, becomes: Becomes) -> Result<Becomes, StoreError> {
        Ok(match becomes {
            Becomes::Ended { state: State::Success(outcome), retention }
                if outcome.is_replayable() =>
            {
                let packed = self.config.pack_for(seen.key, seen.fingerprint, &outcome)?;
                let state = State::Success(packed.map_or(outcome, |packed| *packed));
                Becomes::Ended { state, retention }
            }
            other => other,
        })
    }
}

/// What [`Operator::erase_scope`] deleted.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Erased {
    /// How many records were deleted.
    pub records: u64,
    /// How many were left: their attempts run, or they changed meanwhile.
    pub left: u64,
    /// Where to go on. `None`: this was the last page.
    pub next: Option<Cursor>,
}

impl<St> fmt::Debug for Operator<St> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operator").field("by", &self.by).finish_non_exhaustive()
    }
}

/// The same change of the same record has the same id, whoever sends it and however often.
fn id(seen: &RecordInfo, action: OperatorAction, becomes: &Becomes) -> Token {
    let mut framed = Framed::new("intervention 1");
    framed.field(seen.key.as_bytes());
    framed.field(seen.token.as_bytes());
    framed.field(&seen.attempt.to_be_bytes());
    framed.field(action.word().as_bytes());
    if let Some((_, Some(outcome), _)) = becomes.ended() {
        framed.field(&outcome.encode());
    }
    let digest = framed.finish(None);
    let mut id = [0; 16];
    id.copy_from_slice(&digest.as_bytes()[..16]);
    Token::new(id)
}
