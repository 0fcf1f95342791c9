//! The changes that an operator makes by hand.

use std::fmt;

use http::StatusCode;

#[cfg(doc)]
use super::InvalidResponse;
use super::same::{id, is_settled_so};
use super::text::checked;
use super::{Operator, OperatorError, Read};
use crate::flow::shared::within;
use crate::record::key::ScopeDigest;
use crate::record::outcome::{NotRetained, Outcome, StoredBody};
use crate::store::operator::{
    AuditEntry, Becomes, Cursor, Intervened, Intervention, ListFilter, ListRequest, OperatorAction,
    Progress, RecordInfo, RecordState,
};
use crate::store::{State, Store, StoreError, StoreErrorKind};

/// The most bytes of a reason.
const REASON: usize = 1024;

/// How an operation is settled by hand.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Settle {
    /// It was done. Clients get this response from now on.
    Respond(Outcome),
    /// It failed, with this status if there was one. The next request runs it again, unless
    /// [`on_failed`](crate::IdempotencyLayer::on_failed) says otherwise.
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
    /// The response cannot be read with the keys of this layer, and
    /// [`even_unreadable`](Operator::even_unreadable) is not set. Nothing was changed.
    Unreadable(StoreErrorKind),
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
            Self::Unreadable(_) => f.write_str(
                "the response cannot be read with the keys that are at hand, and the service may \
                 have others: nothing was changed",
            ),
        }
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
    /// How far the store has come, if it reads all records to find those of the scope.
    pub progress: Option<Progress>,
}

impl<St: Store> Operator<St> {
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
    /// or whose response was not retained or [cannot be read](Self::even_unreadable).
    ///
    /// # Errors
    ///
    /// As [`release`](Self::release), and if clients cannot get the response: [`InvalidResponse`].
    pub async fn settle(
        &self,
        seen: &RecordInfo,
        settle: Settle,
        reason: &str,
    ) -> Result<Settled, OperatorError> {
        settle.checked()?;
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
    /// An attempt that runs writes its response anew, also after
    /// [`even_in_flight`](Self::even_in_flight). Erase that record too.
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
    /// Only [labelled](crate::IdempotencyLayer::label_records) records have a scope.
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
        let mut erased = Erased { next: page.next, progress: page.progress, ..Erased::default() };
        for record in page.records {
            match self.erase(&record, reason).await? {
                Settled::Applied | Settled::AlreadyApplied => erased.records += 1,
                Settled::Moved(None) => {}
                Settled::Moved(Some(_))
                | Settled::InFlight
                | Settled::HasResponse
                | Settled::Unreadable(_) => erased.left += 1,
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
        if is_settled_so(seen, &becomes) && self.is_still(seen).await? {
            return Ok(Settled::AlreadyApplied);
        }
        if let Some(left) = self.leaves(seen, action).await? {
            return Ok(left);
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
                self.shared.observer.changed(seen, &change.becomes, &change.entry);
                Settled::Applied
            }
            Intervened::AlreadyApplied => Settled::AlreadyApplied,
            Intervened::Moved(now) => Settled::Moved(now),
        })
    }

    /// Whether the record still is what the operator saw. A settlement may have been erased.
    async fn is_still(&self, seen: &RecordInfo) -> Result<bool, StoreError> {
        let now = self.shared.store.show(&seen.key).await?.record;
        Ok(now.is_some_and(|now| now.is_as_seen(seen) && now.state == seen.state))
    }

    /// Why a record must not be changed in this way.
    ///
    /// Stores compare the status only, so the record itself says whether it has a response.
    async fn leaves(
        &self,
        seen: &RecordInfo,
        action: OperatorAction,
    ) -> Result<Option<Settled>, StoreError> {
        Ok(match (seen.state, action) {
            (RecordState::InFlight, _) if !self.may_fence => Some(Settled::InFlight),
            (RecordState::Success { .. }, OperatorAction::Release | OperatorAction::Fail) => {
                Some(Settled::HasResponse)
            }
            (RecordState::Success { .. }, OperatorAction::Respond | OperatorAction::Conclude) => {
                match self.read(seen).await? {
                    Read::Response { is_replayed: true, .. } => Some(Settled::HasResponse),
                    Read::Unreadable { kind, is_replayed: true }
                        if !self.may_replace_unreadable =>
                    {
                        Some(Settled::Unreadable(kind))
                    }
                    _ => None,
                }
            }
            _ => None,
        })
    }

    /// The response as the layer stores it.
    fn packed(&self, seen: &RecordInfo, becomes: Becomes) -> Result<Becomes, StoreError> {
        Ok(match becomes {
            Becomes::Ended { state: State::Success(outcome), retention } => {
                let packed = self.config.pack_for(seen.key, seen.fingerprint, &outcome)?;
                let state = State::Success(packed.map_or(outcome, |packed| *packed));
                Becomes::Ended { state, retention }
            }
            other => other,
        })
    }
}
