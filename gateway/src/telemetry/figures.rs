//! What the gateway counts itself. The layer counts what becomes of keys.

use std::sync::Arc;

use http::StatusCode;
use metrics::{
    Counter, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};

pub(crate) const RELOADS: &str = "idempotency_gateway_reloads_total";
pub(crate) const RELOAD_FAILURES: &str = "idempotency_gateway_reload_failures_total";
pub(crate) const JWKS_FAILURES: &str = "idempotency_gateway_jwks_failures_total";
pub(crate) const UPSTREAM_FAILURES: &str = "idempotency_gateway_upstream_failures_total";
const REQUESTS: &str = "idempotency_gateway_requests_total";
const UPSTREAM_SECONDS: &str = "idempotency_gateway_upstream_seconds";
const CONNECTIONS: &str = "idempotency_gateway_connections";
const TUNNELS: &str = "idempotency_gateway_tunnels";

const COUNTERS: [(&str, &str); 5] = [
    (REQUESTS, "Requests, by route and class of the response's status."),
    (
        UPSTREAM_FAILURES,
        "Requests to an upstream that got no response, by the code of the problem.",
    ),
    (RELOADS, "Changed files that the gateway has followed."),
    (RELOAD_FAILURES, "Changed files that were not used, because something in them is wrong."),
    (JWKS_FAILURES, "Fetches of a JSON Web Key Set that failed."),
];

const GAUGES: [(&str, &str); 2] = [
    (CONNECTIONS, "Open connections of clients."),
    (TUNNELS, "Upgraded connections, such as WebSockets, between a client and an upstream."),
];

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Tells what each metric means, and sets those without labels to 0.
pub(super) fn describe() {
    for (name, meaning) in COUNTERS {
        describe_counter!(name, Unit::Count, meaning);
    }
    for (name, meaning) in GAUGES {
        describe_gauge!(name, Unit::Count, meaning);
        gauge!(name).set(0);
    }
    let meaning = "From a request to an upstream until the head of its response, by route.";
    describe_histogram!(UPSTREAM_SECONDS, Unit::Seconds, meaning);
    for name in [RELOADS, RELOAD_FAILURES, JWKS_FAILURES] {
        counter!(name).absolute(0);
    }
}

/// The figures of one route.
#[derive(Clone)]
pub(crate) struct Figures {
    pub(crate) route: Arc<str>,
    by_class: [Counter; CLASSES.len()],
    pub(crate) upstream_seconds: Histogram,
}

impl Figures {
    /// `route` is a pattern of the file and never the path of a request, so that labels are bounded.
    pub(crate) fn new(route: &str) -> Self {
        let label: Arc<str> = route.into();
        let by_class = CLASSES
            .map(|class| counter!(REQUESTS, "route" => Arc::clone(&label), "status" => class));
        let upstream_seconds = histogram!(UPSTREAM_SECONDS, "route" => Arc::clone(&label));
        Self { route: label, by_class, upstream_seconds }
    }

    pub(crate) fn count(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        self.by_class[class.min(CLASSES.len() - 1)].increment(1);
    }
}

/// Something that is open until this is dropped.
#[derive(Debug)]
pub(crate) struct Open(&'static str);

impl Open {
    pub(crate) fn connection() -> Self {
        Self::new(CONNECTIONS)
    }

    pub(crate) fn tunnel() -> Self {
        Self::new(TUNNELS)
    }

    fn new(name: &'static str) -> Self {
        gauge!(name).increment(1);
        Self(name)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        gauge!(self.0).decrement(1);
    }
}
