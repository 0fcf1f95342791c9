//! Every setting of the layer, and its default.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, Response, response};
use http_body::Body;

use crate::body::ResponseBody;
use crate::fingerprint::{Fingerprint, Fingerprinting, Fingerprints, Operation};
use crate::key::{IdempotencyKey, KeyError, Scope, StorageKey};
use crate::rejection::Rejection;
use crate::store::{ErrorKind, Rerun, Reserve};
use crate::telemetry;

mod policy;

pub use policy::{Class, InFlight, OnAbandoned, OnFailed, OnOutage};

pub(crate) type ScopeFn = dyn Fn(&Parts) -> Scope + Send + Sync;
pub(crate) type Classifier = dyn Fn(&response::Parts) -> Class + Send + Sync;
pub(crate) type Renderer = dyn Fn(&Rejection) -> Response<Bytes> + Send + Sync;
/// The longest time that is waited for anything; more would overflow clocks.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_hours(365 * 24);

type KeyParser = fn(&[u8]) -> Result<IdempotencyKey, KeyError>;

#[derive(Clone)]
pub(crate) struct Config {
    pub(crate) header: HeaderName,
    pub(crate) second_header: Option<HeaderName>,
    pub(crate) parse_key: KeyParser,
    pub(crate) methods: Vec<Method>,
    pub(crate) require_key: bool,
    pub(crate) namespace: String,
    pub(crate) secret: Option<[u8; 32]>,
    pub(crate) scope: Option<Arc<ScopeFn>>,
    pub(crate) fingerprinting: Fingerprinting,
    pub(crate) max_request: usize,
    pub(crate) max_response: usize,
    pub(crate) lease: Duration,
    pub(crate) retention: Duration,
    pub(crate) store_timeout: Duration,
    pub(crate) in_flight: InFlight,
    pub(crate) on_failed: OnFailed,
    pub(crate) on_abandoned: OnAbandoned,
    pub(crate) on_outage: OnOutage,
    pub(crate) retry_conflicts: u32,
    pub(crate) retry_after: Duration,
    pub(crate) classifier: Arc<Classifier>,
    pub(crate) renderer: Arc<Renderer>,
    pub(crate) mark_first: bool,
    pub(crate) warned: Arc<AtomicBool>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            header: HeaderName::from_static("x-idempotency-key"),
            second_header: Some(HeaderName::from_static("idempotency-key")),
            parse_key: IdempotencyKey::parse,
            methods: vec![Method::POST, Method::PATCH],
            require_key: false,
            namespace: String::new(),
            secret: None,
            scope: None,
            fingerprinting: Fingerprinting::default(),
            max_request: 1 << 20,
            max_response: 1 << 20,
            lease: Duration::from_secs(10),
            retention: Duration::from_hours(24),
            store_timeout: Duration::from_secs(2),
            in_flight: InFlight::Reject,
            on_failed: OnFailed::Rerun,
            on_abandoned: OnAbandoned::Rerun,
            on_outage: OnOutage::Closed,
            retry_conflicts: 0,
            retry_after: Duration::from_secs(1),
            classifier: Arc::new(|response: &response::Parts| Class::of(response.status)),
            renderer: Arc::new(Rejection::render),
            mark_first: false,
            warned: Arc::default(),
        }
    }
}

impl Config {
    pub(crate) fn guards(&self, method: &Method) -> bool {
        self.methods.contains(method)
    }

    /// The key of a request, if it has one: in either header, once, or in both and the same.
    pub(crate) fn key(&self, headers: &HeaderMap) -> Result<Option<IdempotencyKey>, KeyError> {
        let first = self.key_in(headers, &self.header)?;
        let second = match &self.second_header {
            Some(name) => self.key_in(headers, name)?,
            None => None,
        };
        match (first, second) {
            (Some(first), Some(second)) if first != second => Err(KeyError::Conflicting),
            (first, second) => Ok(first.or(second)),
        }
    }

    fn key_in(&self, headers: &HeaderMap, name: &HeaderName) -> Result<Option<IdempotencyKey>, KeyError> {
        let Some(value) = headers.get(name) else {
            return Ok(None);
        };
        if headers.get_all(name).iter().nth(1).is_some() {
            return Err(KeyError::Repeated);
        }
        (self.parse_key)(value.as_bytes()).map(Some)
    }

    pub(crate) fn storage_key(&self, scope: &Scope, key: &IdempotencyKey) -> StorageKey {
        StorageKey::derive(self.secret.as_ref(), &self.namespace, scope, key)
    }

    /// What the layer asks of the store for a request, and the fingerprints of the same request under every other rule by
    /// which a live record may have been written.
    pub(crate) fn reserve(
        &self,
        parts: &Parts,
        key: &IdempotencyKey,
        body: &[u8],
    ) -> (Reserve, Vec<Fingerprint>) {
        let scope = self.scope.as_ref().map_or_else(Scope::anonymous, |scope| scope(parts));
        let Fingerprints { own, others } = self.fingerprinting.of(&Operation::new(parts, body));
        (self.reservation(self.storage_key(&scope, key), own), others)
    }

    /// What the layer asks of the store for any operation.
    pub(crate) fn reservation(&self, key: StorageKey, fingerprint: Fingerprint) -> Reserve {
        Reserve {
            key,
            fingerprint,
            lease: self.lease,
            // Long enough that a lease which lapsed is still seen to have lapsed.
            retention: self.retention.max(self.lease.saturating_mul(2)),
            rerun_failed: if self.on_failed == OnFailed::Rerun { Rerun::Any } else { Rerun::Never },
            rerun_abandoned: self.on_abandoned == OnAbandoned::Rerun,
        }
    }

    pub(crate) fn refuse<B: Body>(&self, rejection: Rejection) -> Response<ResponseBody<B>> {
        telemetry::request(rejection.code());
        let rendered = (self.renderer)(&rejection);
        let mut response = rendered.map(|bytes| ResponseBody::whole(bytes, None));
        rejection.finish(&mut response);
        response
    }

    pub(crate) fn in_flight(&self) -> Rejection {
        Rejection::InFlight { retry_after: self.retry_after }
    }

    pub(crate) fn unavailable(&self, kind: ErrorKind) -> Rejection {
        Rejection::StoreUnavailable { kind, retry_after: self.retry_after }
    }

    /// What a client is told whose operation ran and was not committed.
    pub(crate) fn not_committed(&self, kind: ErrorKind) -> Rejection {
        match kind {
            ErrorKind::TransactionLost => Rejection::TransactionLost,
            _ => Rejection::CommitUnconfirmed { kind, retry_after: self.retry_after },
        }
    }

    pub(crate) fn shutting_down(&self) -> Rejection {
        Rejection::ShuttingDown { retry_after: self.retry_after }
    }

    /// Whether to run an operation although the store failed so. A store that is full, or holds a damaged record, is
    /// not down: it has said no.
    pub(crate) fn opens_for(&self, kind: ErrorKind) -> bool {
        self.on_outage == OnOutage::OpenRiskingDoubleEffects
            && matches!(kind, ErrorKind::Unavailable | ErrorKind::Timeout)
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
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("header", &self.header)
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
