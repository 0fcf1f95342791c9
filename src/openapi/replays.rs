//! The headers of replays, on the responses of the operation itself.

use http::HeaderName;
use serde_json::{Map, Value, json};

use super::title_case;
use crate::http::response::{BODY, ORIGINAL_REQUEST_ID, REQUEST_ID, RESULT};
use crate::settings::{Config, OnOutage};
use crate::store::Store;

/// A Header Object for each header that the layer may add to a response of the handler. A handler
/// may have its response stored without the body, whatever the setting, so that marker is always
/// among them.
pub(super) fn headers(config: &Config, store: &impl Store) -> Map<String, Value> {
    let mut headers = Map::new();
    let mut add = |name: &HeaderName, description: &str, schema: Value| {
        headers.insert(title_case(name), json!({ "description": description, "schema": schema }));
    };
    let mut results = vec!["true"];
    if config.mark_original {
        results.push("false");
    }
    if config.policies.on_outage == OnOutage::FailOpenRiskingDoubleEffects
        && store.opens_in_outage()
    {
        results.push("unguarded");
    }
    add(&RESULT, &meaning(&results), json!({ "type": "string", "enum": results }));
    if let Some(marker) = &config.replay_marker {
        let description = "`true` if the response is a replay.";
        add(marker, description, json!({ "type": "string", "enum": ["true"] }));
    }
    add(
        &BODY,
        "`omitted` if the response is a replay without the body of the first response.",
        json!({ "type": "string", "enum": ["omitted"] }),
    );
    let text = || json!({ "type": "string" });
    add(&REQUEST_ID, "The id of the request.", text());
    add(
        &ORIGINAL_REQUEST_ID,
        "If the response is a replay, the id of the request that did the operation.",
        text(),
    );
    if config.stored.level.has_digest() {
        let name = HeaderName::from_static("repr-digest");
        add(&name, "The digest (RFC 9530) of a body that a replay omits.", text());
    }
    headers
}

fn meaning(results: &[&str]) -> String {
    let meaning = |result: &&str| match *result {
        "true" => "`true` if the response is a replay of an earlier one",
        "false" => "`false` if it is the first",
        _ => "`unguarded` if the operation was not guarded, because the store was down",
    };
    results.iter().map(meaning).collect::<Vec<_>>().join(", ") + "."
}
