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

use crate::attempt::Attempt;
use crate::body::ResponseBody;
use crate::fingerprint::{Fingerprint, Fingerprinting, Fingerprints, JsonPointer, Operation};
use crate::key::{IdempotencyKey, KeyError, Scope, ScopeDigest, StorageKey};
use crate::outcome::Outcome;
use crate::pack::{Of, Packing};
use crate::rejection::{OnMismatch, Rejection};
use crate::response::{self, Kept};
use crate::store::{ErrorKind, Lease, Record, Rerun, Reserve, StoreError};
use crate::telemetry;

mod keys;
mod policy;
mod warned;

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
    pub(crate) secret: Option<[u8; 32]>,
    pub(crate) scope: Option<Arc<ScopeFn>>,
    pub(crate) fingerprinting: Fingerprinting,
    pub(crate) max_request: usize,
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
            scope: None,
            fingerprinting: Fingerprinting::default(),
            max_request: 1 << 20,
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

/// An operation that somebody asks for.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub(crate) key: IdempotencyKey,
    pub(crate) scope: Scope,
    pub(crate) reserve: Reserve,
    /// Its fingerprints under the other rules that a record may have been written under.
    pub(crate) others: Vec<Fingerprint>,
    /// The attempt that a layer outside makes under the same storage key.
    pub(crate) outer: Option<Attempt>,
}

impl Wanted {
    /// Whether the record is of this operation, under any of the rules.
    pub(crate) fn is_of(&self, found: &Record) -> bool {
        found.fingerprint == self.reserve.fingerprint || self.others.contains(&found.fingerprint)
    }

    /// Whether the record is of this operation, under another rule than the one in force; from then on that one is.
    pub(crate) fn adopts(&mut self, found: &Record) -> bool {
        match self.others.iter_mut().find(|other| **other == found.fingerprint) {
            Some(other) => {
                std::mem::swap(other, &mut self.reserve.fingerprint);
                true
            }
            None => false,
        }
    }
}

impl Config {
    pub(crate) fn guards(&self, method: &Method) -> bool {
        self.methods.contains(method)
    }

    pub(crate) fn storage_key(&self, scope: &Scope, key: &IdempotencyKey) -> StorageKey {
        StorageKey::derive(self.secret.as_ref(), &self.namespace, scope, key)
    }

    /// What the layer asks of the store for a request.
    pub(crate) fn wanted(&self, parts: &Parts, key: IdempotencyKey, body: &[u8]) -> Wanted {
        let scope = self.scope.as_ref().map_or_else(Scope::anonymous, |scope| scope(parts));
        let Fingerprints { own, others } = self.fingerprinting.of(&Operation::new(parts, body));
        if self.fingerprinting.rule.is_some() && own.is_raw() {
            tracing::debug!(
                bytes = body.len(),
                "the raw bytes of a request count, because the fingerprint rule does not apply to it (its body may be \
                 malformed, ambiguous or over the budget): a retry with other bytes will be a mismatch"
            );
        }
        let mut wanted = self.want(scope, key, own);
        if self.scope.is_none() {
            wanted.reserve.scope = ScopeDigest::UNSET;
        }
        let outer = parts.extensions.get::<Attempt>().filter(|outer| outer.runs_under(&wanted.reserve.key));
        Wanted { others, outer: outer.cloned(), ..wanted }
    }

    /// What the layer asks of the store for any operation.
    pub(crate) fn want(&self, scope: Scope, key: IdempotencyKey, fingerprint: Fingerprint) -> Wanted {
        let reserve = self.reservation(self.storage_key(&scope, &key), &scope, fingerprint);
        Wanted { key, scope, reserve, others: Vec::new(), outer: None }
    }

    fn reservation(&self, key: StorageKey, scope: &Scope, fingerprint: Fingerprint) -> Reserve {
        Reserve {
            key,
            scope: ScopeDigest::of(self.secret.as_ref(), scope),
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

    pub(crate) fn replay<B: Body>(
        &self,
        outcome: Outcome,
        request_id: Option<HeaderValue>,
    ) -> Response<ResponseBody<B>> {
        response::replay(outcome, request_id, self.replay_marker.as_ref())
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
    pub(crate) fn opens_for(&self, kind: ErrorKind) -> bool {
        self.on_outage == OnOutage::OpenRiskingDoubleEffects && kind.is_outage()
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

    /// A record as it came from the store, with its answer made readable.
    pub(crate) fn unpack(&self, key: &StorageKey, mut record: Record) -> Result<Record, StoreError> {
        self.packing.unpack(*key, &mut record, self.max_response)?;
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
