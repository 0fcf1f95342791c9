//! Applies the settings to one request: which response it gets, what is stored, and what is read.

use std::time::Duration;

use http::{HeaderValue, Response};
use http_body::Body;

use crate::http::body::ResponseBody;
use crate::http::class::ResponseClass;
use crate::http::grpc::Protocol;
use crate::http::rejection::Rejection;
use crate::http::response;
use crate::record::fingerprint::Fingerprint;
use crate::record::frame::DecodeError;
use crate::record::key::StorageKey;
use crate::record::outcome::Outcome;
use crate::settings::{Config, OnFailed, OnOutage};
use crate::store::pack::Of;
use crate::store::{Lease, Record, State, StoreError, StoreErrorKind};

impl Config {
    /// Makes the response of a rejection in the protocol of the request.
    pub(crate) fn reject<B: Body>(
        &self,
        protocol: &Protocol,
        rejection: Rejection,
    ) -> Response<ResponseBody<B>> {
        let rendered = (self.rejection_response)(&rejection);
        let mut response = rendered.map(|bytes| ResponseBody::whole(bytes, None));
        rejection.finish(&mut response);
        protocol.encode_rejection(response)
    }

    pub(crate) fn replay<B: Body>(
        &self,
        outcome: Outcome,
        request_id: Option<HeaderValue>,
    ) -> Response<ResponseBody<B>> {
        response::replay(outcome, request_id, &self.stored, self.replay_marker.as_ref())
    }

    pub(crate) fn in_flight(&self) -> Rejection {
        Rejection::InFlight { retry_after: self.policies.retry_after }
    }

    /// The rejection if the store has not reserved the key. The store may say when to retry.
    pub(crate) fn not_reserved(
        &self,
        kind: StoreErrorKind,
        retry_after: Option<Duration>,
    ) -> Rejection {
        let retry_after = retry_after.unwrap_or(self.policies.retry_after);
        match kind {
            StoreErrorKind::ScopeFull => Rejection::QuotaExceeded { retry_after },
            _ => Rejection::StoreUnavailable { kind, retry_after },
        }
    }

    /// The rejection if the operation ran and was not committed.
    pub(crate) fn not_committed(&self, kind: StoreErrorKind) -> Rejection {
        match kind {
            StoreErrorKind::TransactionLost => Rejection::TransactionLost,
            _ => Rejection::CommitUnconfirmed { kind, retry_after: self.policies.retry_after },
        }
    }

    pub(crate) fn key_reused(&self) -> Rejection {
        Rejection::KeyReused { status: self.policies.on_mismatch }
    }

    pub(crate) fn shutting_down(&self) -> Rejection {
        Rejection::ShuttingDown { retry_after: self.policies.retry_after }
    }

    /// Whether to run an operation although the store failed.
    ///
    /// A store that is full, damaged or not set up has replied, so it is not down and the layer
    /// does not open. Otherwise a caller that fills the store would open it.
    pub(crate) fn opens_for(&self, error: &StoreError) -> bool {
        self.policies.on_outage == OnOutage::FailOpenRiskingDoubleEffects && error.may_open()
    }

    /// How many bytes of a response are read at most. If the class depends on the end of the
    /// response, all bytes that may be stored are read.
    pub(super) fn bytes_to_read(&self, protocol: &Protocol, class: ResponseClass) -> Option<usize> {
        if protocol.is_read_to_its_end() {
            Some(self.max_response)
        } else {
            self.stored_bytes(class)
        }
    }

    /// How many bytes of a response are stored at most. `None` if its body is not stored.
    pub(crate) fn stored_bytes(&self, class: ResponseClass) -> Option<usize> {
        let is_stored = match class {
            ResponseClass::Success => true,
            ResponseClass::Failed => self.policies.on_failed == OnFailed::Replay,
            ResponseClass::Discard | ResponseClass::Abandoned => false,
        };
        is_stored.then_some(self.max_response)
    }

    /// Compresses and encrypts a response for the store. `None` if the response is stored as it is.
    pub(crate) fn pack(
        &self,
        lease: &Lease,
        outcome: &Outcome,
        is_failure: bool,
    ) -> Result<Option<Box<Outcome>>, StoreError> {
        let Lease { key, fingerprint, .. } = *lease;
        self.packing.pack(&Of { key, fingerprint, is_failure }, outcome)
    }

    /// The same for a response that an operator gives.
    pub(crate) fn pack_for(
        &self,
        key: StorageKey,
        fingerprint: Fingerprint,
        outcome: &Outcome,
    ) -> Result<Option<Box<Outcome>>, StoreError> {
        self.packing.pack(&Of { key, fingerprint, is_failure: false }, outcome)
    }

    /// Unpacks the response of a record from the store, and removes what this layer would not
    /// store.
    pub(crate) fn unpack(
        &self,
        key: &StorageKey,
        mut record: Record,
    ) -> Result<Record, StoreError> {
        self.packing.unpack(*key, &mut record, self.max_response)?;
        if let State::Success(outcome) | State::Failed(Some(outcome)) = &mut record.state {
            // It goes no further than to the span of the replay.
            let trace = self.traces.is_some().then(|| outcome.take_trace()).flatten();
            if !outcome.has_final_status() {
                return Err(StoreError::with_source(StoreErrorKind::Corrupt, DecodeError));
            }
            self.stored.clean(outcome);
            if let Some(trace) = trace {
                outcome.set_trace(&trace);
            }
        }
        Ok(record)
    }
}
