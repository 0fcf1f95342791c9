//! The rejections that a layer can give, as Response Objects.
//!
//! The table of rejections says which layers give each (`Occasion`). The rest is read from a
//! response that the layer makes of a sample: its status, headers and media type.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use http::{HeaderName, Response, header};
use serde_json::{Map, Value, json};

use super::merge::{add_content, put};
use super::{problem, title_case};
use crate::http::rejection::{Occasion, Rejection, SHOULD_RETRY, is_problem, samples};
use crate::settings::{Config, OnAbandoned, OnFailed};
use crate::store::Store;

/// A Response Object for each status of a rejection that the layer can give.
pub(super) fn responses(config: &Config, store: &impl Store) -> Map<String, Value> {
    let mut by_status = BTreeMap::<_, Vec<Rejected>>::new();
    for rejection in samples() {
        if config.gives(rejection.spec().occasion, store) {
            let rejected = Rejected::by(config, rejection);
            by_status.entry(rejected.response.status().as_u16()).or_default().push(rejected);
        }
    }
    by_status.iter().map(|(status, of)| (status.to_string(), response(of))).collect()
}

impl Config {
    /// Whether the layer gives the rejections of an occasion.
    fn gives(&self, occasion: Occasion, store: &impl Store) -> bool {
        match occasion {
            Occasion::Always => true,
            Occasion::KeyIsRequired => self.require_key,
            Occasion::ScopeIsSet => self.scope.is_some(),
            Occasion::AbandonedIsRejected => self.policies.on_abandoned == OnAbandoned::Reject,
            Occasion::FailedIsNotRerun => self.policies.on_failed != OnFailed::Rerun,
            Occasion::InFlightIsLimited => self.in_flight_limit.is_some(),
            // Without a `scope` function all callers are one, which has no share.
            Occasion::ScopeIsLimited => {
                let is_limited = self.new_keys.is_some() || store.limits_scopes();
                self.quota.is_some() || self.scope.is_some() && is_limited
            }
            Occasion::IsTransactional => store.opens_transactions(),
        }
    }

    /// The sample with the values of this layer.
    fn adapt(&self, sample: Rejection) -> Rejection {
        match sample {
            Rejection::KeyMissing { .. } => self.key_missing(),
            Rejection::KeyReused { .. } => self.key_reused(),
            Rejection::RequestTooLarge { .. } => {
                Rejection::RequestTooLarge { limit: Some(self.max_request) }
            }
            sample => sample,
        }
    }
}

/// A rejection, and the response that the layer makes of it.
struct Rejected {
    rejection: Rejection,
    response: Response<Bytes>,
}

impl Rejected {
    fn by(config: &Config, sample: Rejection) -> Self {
        let rejection = config.adapt(sample);
        let mut response = (config.rejection_response)(&rejection);
        rejection.clone().finish(&mut response);
        Self { rejection, response }
    }

    fn media_type(&self) -> Option<&str> {
        self.response.headers().get(header::CONTENT_TYPE)?.to_str().ok()
    }

    /// Whether the body is the problem document of this crate.
    fn has_problem(&self) -> bool {
        let code = self.rejection.code();
        is_problem(self.response.headers()) && self.example()["code"] == code
    }

    /// The body of the response as the example of a document.
    fn example(&self) -> Value {
        let body = self.response.body();
        serde_json::from_slice(body).unwrap_or_else(|_| String::from_utf8_lossy(body).into())
    }
}

/// The Response Object of all rejections with one status.
fn response(all: &[Rejected]) -> Value {
    let ours = || all.iter().filter(|rejected| rejected.has_problem());
    let codes: Vec<_> = ours().map(|rejected| rejected.rejection.code()).collect();
    let mut content = Map::new();
    for rejected in all {
        let Some(media_type) = rejected.media_type() else { continue };
        let mut media = json!({ "examples": { rejected.rejection.code(): {
            "summary": rejected.rejection.title(),
            "value": rejected.example(),
        } } });
        if rejected.has_problem() {
            media["schema"] = problem::schema(rejected.response.status(), &codes);
        }
        add_content(&mut content, media_type, &media);
    }
    let mut response = Map::from_iter([("description".to_owned(), description(all).into())]);
    put(&mut response, "headers", headers(all));
    put(&mut response, "content", content);
    response.into()
}

fn description(all: &[Rejected]) -> String {
    let kinds = all.iter().map(|Rejected { rejection, .. }| {
        format!("\n- `{}`: {}.", rejection.code(), rejection.title())
    });
    format!("Rejected by the idempotency layer:\n{}", kinds.collect::<String>())
}

/// A Header Object for each header that these rejections have.
fn headers(all: &[Rejected]) -> Map<String, Value> {
    let mut headers = Map::new();
    for name in all.iter().flat_map(|rejected| rejected.response.headers().keys()) {
        // The media type is described beside the headers.
        if ![header::CONTENT_TYPE, header::CONTENT_LENGTH].contains(name) {
            headers.entry(title_case(name)).or_insert_with(|| described(name, all));
        }
    }
    headers
}

fn described(name: &HeaderName, all: &[Rejected]) -> Value {
    let values = || all.iter().filter_map(|rejected| rejected.response.headers().get(name));
    let is_ours = [header::RETRY_AFTER, SHOULD_RETRY].contains(name);
    let (description, schema) = if *name == header::RETRY_AFTER {
        ("When to retry, in seconds.", json!({ "type": "integer", "minimum": 1 }))
    } else if *name == SHOULD_RETRY {
        let values: BTreeSet<_> = values().filter_map(|value| value.to_str().ok()).collect();
        ("Whether a retry can get another response.", json!({ "type": "string", "enum": values }))
    } else if *name == header::LOCATION {
        ("The `Location` of the first response, if it had one.", json!({ "type": "string" }))
    } else {
        ("", json!({ "type": "string" }))
    };
    let mut header = json!({ "schema": schema });
    if is_ours && values().count() == all.len() {
        header["required"] = true.into();
    }
    if !description.is_empty() {
        header["description"] = description.into();
    }
    header
}
