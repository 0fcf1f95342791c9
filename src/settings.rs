//! Every setting of the layer, and its default.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::response::Parts as Head;
use http::{HeaderName, Method, Response};
use tokio::sync::Semaphore;

use crate::http::class::ResponseClass;
use crate::http::rejection::Rejection;
use crate::http::response::StoredParts;
use crate::record::fingerprint::{Fingerprinting, JsonPointer};
use crate::record::key::{KeyForm, Scope};
use crate::record::secret::SecretKey;
use crate::store::pack::Packing;

mod budgets;
#[cfg(feature = "serde")]
pub(crate) mod file;
mod keys;
pub(crate) mod labels;
pub(crate) mod least;
mod policy;
#[cfg(feature = "quota")]
pub(crate) mod quota;
#[cfg(not(feature = "quota"))]
#[path = "settings/quota/off.rs"]
pub(crate) mod quota;
mod traces;
pub(crate) mod warned;

use budgets::Budgets;
pub(crate) use budgets::WaitPermit;
#[cfg(feature = "serde")]
pub use file::Settings;
#[cfg(feature = "serde")]
pub(crate) use file::{AsText, Fields};
use labels::Labels;
pub(crate) use policy::Policies;
pub use policy::{InFlight, OnAbandoned, OnFailed, OnOutage, QuotaExceeded};
use quota::NewKeys;
pub(crate) use traces::Traces;
use warned::Warned;

pub(crate) type ScopeFn = dyn Fn(&Parts) -> Option<Scope> + Send + Sync;
pub(crate) type Quota = dyn Fn(&Scope) -> Result<QuotaGuard, QuotaExceeded> + Send + Sync;
/// The guard that a quota returns for an operation. Dropping it gives it back.
pub(crate) type QuotaGuard = Box<dyn Any + Send + Sync>;
pub(crate) type Classifier = dyn Fn(&Head) -> ResponseClass + Send + Sync;
pub(crate) type Renderer = dyn Fn(&Rejection) -> Response<Bytes> + Send + Sync;

#[derive(Clone)]
pub(crate) struct Config {
    pub(crate) headers: Vec<HeaderName>,
    pub(crate) key_pointer: Option<JsonPointer>,
    pub(crate) key_form: KeyForm,
    pub(crate) methods: Vec<Method>,
    pub(crate) require_key: bool,
    pub(crate) namespace: String,
    pub(crate) secret: Option<Arc<SecretKey>>,
    /// The key for the digests of downstream keys, derived from the secret.
    pub(crate) downstream: Option<Arc<SecretKey>>,
    pub(crate) scope: Option<Arc<ScopeFn>>,
    pub(crate) host_in_scope: bool,
    pub(crate) labels: Option<Labels>,
    pub(crate) traces: Option<Traces>,
    pub(crate) fingerprinting: Fingerprinting,
    pub(crate) max_request: usize,
    pub(crate) body_timeout: Duration,
    pub(crate) max_response: usize,
    pub(crate) capture_timeout: Duration,
    pub(crate) lease: Duration,
    pub(crate) retention: Duration,
    pub(crate) store_timeout: Duration,
    pub(crate) policies: Policies,
    pub(crate) in_flight_limit: Option<Arc<Semaphore>>,
    pub(crate) quota: Option<Arc<Quota>>,
    pub(crate) budgets: Budgets,
    pub(crate) new_keys: Option<Arc<NewKeys>>,
    pub(crate) classify: Arc<Classifier>,
    pub(crate) rejection_response: Arc<Renderer>,
    pub(crate) stored: StoredParts,
    pub(crate) packing: Packing,
    pub(crate) mark_original: bool,
    pub(crate) replay_marker: Option<HeaderName>,
    pub(crate) warned: Arc<Warned>,
}

/// The default headers of keys: this crate's, and the IETF draft's.
pub(crate) const KEY_HEADERS: [HeaderName; 2] =
    [HeaderName::from_static("x-idempotency-key"), HeaderName::from_static("idempotency-key")];

impl Default for Config {
    fn default() -> Self {
        Self {
            headers: KEY_HEADERS.into(),
            key_pointer: None,
            key_form: KeyForm::ANY,
            methods: vec![Method::POST, Method::PATCH],
            require_key: false,
            namespace: String::new(),
            secret: None,
            downstream: None,
            scope: None,
            host_in_scope: false,
            labels: None,
            traces: None,
            fingerprinting: Fingerprinting::default(),
            max_request: 1 << 20,
            body_timeout: Duration::from_secs(30),
            max_response: 1 << 20,
            capture_timeout: Duration::from_secs(10),
            lease: Duration::from_secs(10),
            retention: Duration::from_hours(24),
            store_timeout: Duration::from_secs(2),
            policies: Policies::default(),
            in_flight_limit: None,
            quota: None,
            budgets: Budgets::default(),
            new_keys: None,
            classify: Arc::new(ResponseClass::of_head),
            rejection_response: Arc::new(Rejection::render),
            stored: StoredParts::default(),
            packing: Packing::default(),
            mark_original: false,
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
}

/// A new setting does not compile until it is shown here, or named as hidden.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            headers,
            key_pointer,
            methods,
            require_key,
            namespace,
            scope,
            host_in_scope,
            labels,
            traces,
            max_request,
            body_timeout,
            max_response,
            capture_timeout,
            lease,
            retention,
            store_timeout,
            policies,
            in_flight_limit,
            quota,
            new_keys,
            mark_original,
            replay_marker,
            // Hidden: secrets.
            secret: _,
            downstream: _,
            packing: _,
            // Hidden: closures and rules.
            key_form: _,
            fingerprinting: _,
            classify: _,
            rejection_response: _,
            stored: _,
            // Hidden: counts of the moment.
            budgets: _,
            warned: _,
        } = self;
        f.debug_struct("Config")
            .field("headers", headers)
            .field("key_pointer", key_pointer)
            .field("methods", methods)
            .field("require_key", require_key)
            .field("namespace", namespace)
            .field("has_scope", &scope.is_some())
            .field("host_in_scope", host_in_scope)
            .field("has_labels", &labels.is_some())
            .field("has_traces", &traces.is_some())
            .field("max_request", max_request)
            .field("body_timeout", body_timeout)
            .field("max_response", max_response)
            .field("capture_timeout", capture_timeout)
            .field("lease", lease)
            .field("retention", retention)
            .field("store_timeout", store_timeout)
            .field("policies", policies)
            .field("has_max_in_flight", &in_flight_limit.is_some())
            .field("has_quota", &quota.is_some())
            .field("has_new_keys_per_minute", &new_keys.is_some())
            .field("mark_original", mark_original)
            .field("replay_marker", replay_marker)
            .finish_non_exhaustive()
    }
}
