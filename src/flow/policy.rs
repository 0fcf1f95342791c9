//! What the settings mean for one request: which response it gets, what is stored, and what is read.

use std::time::Duration;

use http::{HeaderValue, Response};
use http_body::Body;

use super::telemetry;
use crate::http::body::ResponseBody;
use crate::http::class::ResponseClass;
use crate::http::grpc::Protocol;
use crate::http::rejection::Rejection;
use crate::http::response;
use crate::record::frame::DecodeError;
use crate::record::key::StorageKey;
use crate::record::outcome::Outcome;
use crate::settings::{Config, OnFailed, OnOutage};
use crate::store::pack::Of;
use crate::store::{Lease, Record, State, StoreError, StoreErrorKind};

impl Config {
    /// The rejection as the client of a request in this protocol understands it.
    pub(crate) fn reject<B: Body>(
        &self,
        protocol: &Protocol,
        rejection: Rejection,
    ) -> Response<ResponseBody<B>> {
        telemetry::request(rejection.code());
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
        Rejection::InFlight { retry_after: self.retry_after }
    }

    /// What a request gets whose key the store has not reserved. The store may say when to ask again.
    pub(crate) fn not_reserved(&self, kind: StoreErrorKind, retry_after: Option<Duration>) -> Rejection {
        let retry_after = retry_after.unwrap_or(self.retry_after);
        match kind {
            StoreErrorKind::ScopeFull => Rejection::QuotaExceeded { retry_after },
            _ => Rejection::StoreUnavailable { kind, retry_after },
        }
    }

    /// What a client is told whose operation ran and was not committed.
    pub(crate) fn not_committed(&self, kind: StoreErrorKind) -> Rejection {
        match kind {
            StoreErrorKind::TransactionLost => Rejection::TransactionLost,
            _ => Rejection::CommitUnconfirmed { kind, retry_after: self.retry_after },
        }
    }

    pub(crate) fn key_reused(&self) -> Rejection {
        Rejection::KeyReused { status: self.on_mismatch }
    }

    pub(crate) fn shutting_down(&self) -> Rejection {
        Rejection::ShuttingDown { retry_after: self.retry_after }
    }

    /// Whether to run an operation although the store failed. A store that is full, damaged or not set
    /// up is not down: it has replied, so nothing opens. Otherwise anyone who fills it opens it.
    pub(crate) fn opens_for(&self, error: &StoreError) -> bool {
        self.on_outage == OnOutage::FailOpenRiskingDoubleEffects && error.may_open()
    }

    /// How many bytes of a response are read: all that may be stored, if the class is known only after them.
    pub(super) fn bytes_to_read(&self, protocol: &Protocol, class: ResponseClass) -> Option<usize> {
        if protocol.is_read_to_its_end() { Some(self.max_response) } else { self.kept_bytes(class) }
    }

    /// How many bytes of an answer are worth keeping; `None` if it is not to be read at all.
    pub(crate) fn kept_bytes(&self, class: ResponseClass) -> Option<usize> {
        let worth_keeping = match class {
            ResponseClass::Success => true,
            ResponseClass::Failed => self.on_failed == OnFailed::Replay,
            ResponseClass::Discard => false,
        };
        worth_keeping.then_some(self.max_response)
    }

    /// What the store is given for an answer, if that is not the answer itself.
    pub(crate) fn pack(
        &self,
        lease: &Lease,
        outcome: &Outcome,
        is_failure: bool,
    ) -> Result<Option<Box<Outcome>>, StoreError> {
        self.packing.pack(&Of { key: lease.key, fingerprint: lease.fingerprint, is_failure }, outcome)
    }

    /// A record as it came from the store, with its response made readable, and without what this
    /// layer would not have stored.
    pub(crate) fn unpack(&self, key: &StorageKey, mut record: Record) -> Result<Record, StoreError> {
        self.packing.unpack(*key, &mut record, self.max_response)?;
        if let State::Success(outcome) | State::Failed(Some(outcome)) = &mut record.state {
            if !outcome.has_final_status() {
                return Err(StoreError::with_source(StoreErrorKind::Corrupt, DecodeError));
            }
            self.stored.clean(outcome);
        }
        Ok(record)
    }
}
