//! Every setting of the layer, and its default.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::response::Parts as Head;
use http::{HeaderName, HeaderValue, Method, Response};
use http_body::Body;
use tokio::sync::Semaphore;

use crate::flow::telemetry;
use crate::http::body::ResponseBody;
use crate::http::rejection::{OnMismatch, Rejection};
use crate::http::response::{self, Kept};
use crate::record::fingerprint::{Fingerprinting, JsonPointer};
use crate::record::frame::Malformed;
use crate::record::key::{IdempotencyKey, KeyError, Scope, StorageKey};
use crate::record::outcome::Outcome;
use crate::record::secret::SecretKey;
use crate::settings::quota::NewKeys;
use crate::store::pack::{Of, Packing};
use crate::store::{ErrorKind, Lease, Record, State, StoreError};

mod holding;
mod keys;
mod policy;
#[cfg(feature = "quota")]
pub(crate) mod quota;
#[cfg(not(feature = "quota"))]
#[path = "settings/quota/off.rs"]
pub(crate) mod quota;
mod warned;

use holding::Holding;
pub use policy::{Class, InFlight, OnAbandoned, OnFailed, OnOutage, QuotaExceeded};
use warned::Warned;

pub(crate) type ScopeFn = dyn Fn(&Parts) -> Scope + Send + Sync;
pub(crate) type Quota = dyn Fn(&Scope) -> Result<QuotaGuard, QuotaExceeded> + Send + Sync;
/// What a quota gives for an operation, and takes back when it is dropped.
pub(crate) type QuotaGuard = Box<dyn Any + Send + Sync>;
pub(crate) type Classifier = dyn Fn(&Head) -> Class + Send + Sync;
pub(crate) type Renderer = dyn Fn(&Rejection) -> Response<Bytes> + Send + Sync;
/// The longest time that is waited for anything; more would overflow clocks.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_hours(365 * 24);

type KeyParser = fn(&[u8]) -> Result<IdempotencyKey, KeyError>;

#[derive(Clone)]
pub(crate) struct Config {
    pub(crate) headers: Vec<HeaderName>,
    pub(crate) key_pointer: Option<JsonPointer>,
    pub(crate) parse_key: KeyParser,
    pub(crate) methods: Vec<Method>,
    pub(crate) require_key: bool,
    pub(crate) namespace: String,
    pub(crate) secret: Option<Arc<SecretKey>>,
    /// Keys the keys for other systems; derived from the secret.
    pub(crate) downstream: Option<Arc<SecretKey>>,
    pub(crate) scope: Option<Arc<ScopeFn>>,
    pub(crate) host_in_scope: bool,
    pub(crate) fingerprinting: Fingerprinting,
    pub(crate) max_request: usize,
    pub(crate) body_timeout: Duration,
    pub(crate) max_response: usize,
    pub(crate) capture_timeout: Duration,
    pub(crate) lease: Duration,
    pub(crate) retention: Duration,
    pub(crate) store_timeout: Duration,
    pub(crate) in_flight: InFlight,
    pub(crate) on_failed: OnFailed,
    pub(crate) on_abandoned: OnAbandoned,
    pub(crate) on_outage: OnOutage,
    pub(crate) on_mismatch: OnMismatch,
    pub(crate) retry_conflicts: u32,
    pub(crate) in_flight_limit: Option<Arc<Semaphore>>,
    pub(crate) quota: Option<Arc<Quota>>,
    pub(crate) holding: Holding,
    pub(crate) new_keys: Option<Arc<NewKeys>>,
    pub(crate) retry_after: Duration,
    pub(crate) classifier: Arc<Classifier>,
    pub(crate) renderer: Arc<Renderer>,
    pub(crate) kept: Kept,
    pub(crate) packing: Packing,
    pub(crate) mark_first: bool,
    pub(crate) replay_marker: Option<HeaderName>,
    pub(crate) warned: Arc<Warned>,
}

/// The headers that bear keys where nobody chose others: the first is this crate's own, the second that of the IETF draft.
pub(crate) const KEY_HEADERS: [HeaderName; 2] =
    [HeaderName::from_static("x-idempotency-key"), HeaderName::from_static("idempotency-key")];

impl Default for Config {
    fn default() -> Self {
        Self {
            headers: KEY_HEADERS.into(),
            key_pointer: None,
            parse_key: IdempotencyKey::parse,
            methods: vec![Method::POST, Method::PATCH],
            require_key: false,
            namespace: String::new(),
            secret: None,
            downstream: None,
            scope: None,
            host_in_scope: false,
            fingerprinting: Fingerprinting::default(),
            max_request: 1 << 20,
            body_timeout: Duration::from_secs(30),
            max_response: 1 << 20,
            capture_timeout: Duration::from_secs(10),
            lease: Duration::from_secs(10),
            retention: Duration::from_hours(24),
            store_timeout: Duration::from_secs(2),
            in_flight: InFlight::Reject,
            on_failed: OnFailed::Rerun,
            on_abandoned: OnAbandoned::Rerun,
            on_outage: OnOutage::Closed,
            on_mismatch: OnMismatch::Conflict,
            retry_conflicts: 0,
            in_flight_limit: None,
            quota: None,
            holding: Holding::default(),
            new_keys: None,
            retry_after: Duration::from_secs(1),
            classifier: Arc::new(Class::of_head),
            renderer: Arc::new(Rejection::render),
            kept: Kept::default(),
            packing: Packing::default(),
            mark_first: false,
            replay_marker: None,
            warned: Arc::default(),
        }
    }
}

impl Config {
    pub(crate) fn guards(&self, method: &Method) -> bool {
        self.methods.contains(method)
    }

    pub(crate) fn secret_bytes(&self) -> Option<&[u8; 32]> {
        self.secret.as_ref().map(|secret| &***secret)
    }

    pub(crate) fn refuse<B: Body>(&self, rejection: Rejection) -> Response<ResponseBody<B>> {
        telemetry::request(rejection.code());
        let rendered = (self.renderer)(&rejection);
        let mut response = rendered.map(|bytes| ResponseBody::whole(bytes, None));
        rejection.finish(&mut response);
        response
    }

    pub(crate) fn replay<B: Body>(
        &self,
        outcome: Outcome,
        request_id: Option<HeaderValue>,
    ) -> Response<ResponseBody<B>> {
        response::replay(outcome, request_id, &self.kept, self.replay_marker.as_ref())
    }

    pub(crate) fn in_flight(&self) -> Rejection {
        Rejection::InFlight { retry_after: self.retry_after }
    }

    /// What a request gets whose key the store has not reserved. The store may say when to ask again.
    pub(crate) fn not_reserved(&self, kind: ErrorKind, retry_after: Option<Duration>) -> Rejection {
        let retry_after = retry_after.unwrap_or(self.retry_after);
        match kind {
            ErrorKind::ScopeFull => Rejection::QuotaExceeded { retry_after },
            _ => Rejection::StoreUnavailable { kind, retry_after },
        }
    }

    /// What a client is told whose operation ran and was not committed.
    pub(crate) fn not_committed(&self, kind: ErrorKind) -> Rejection {
        match kind {
            ErrorKind::TransactionLost => Rejection::TransactionLost,
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
        self.on_outage == OnOutage::OpenRiskingDoubleEffects && error.may_open()
    }

    /// How many bytes of an answer are worth keeping; `None` if it is not to be read at all.
    pub(crate) fn kept_bytes(&self, class: Class) -> Option<usize> {
        let worth_keeping = match class {
            Class::Success => true,
            Class::Failed => self.on_failed == OnFailed::Replay,
            Class::Forget => false,
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
                return Err(StoreError::with_source(ErrorKind::Corrupt, Malformed));
            }
            self.kept.clean(outcome);
        }
        Ok(record)
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("headers", &self.headers)
            .field("methods", &self.methods)
            .field("require_key", &self.require_key)
            .field("lease", &self.lease)
            .field("retention", &self.retention)
            .field("store_timeout", &self.store_timeout)
            .field("in_flight", &self.in_flight)
            .field("on_failed", &self.on_failed)
            .field("on_abandoned", &self.on_abandoned)
            .field("on_outage", &self.on_outage)
            .finish_non_exhaustive()
    }
}
