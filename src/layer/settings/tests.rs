#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

use http::{HeaderName, Method};
use serde_json::{Value, json};

use super::*;
use crate::http::rejection::OnMismatch;
use crate::http::response::StoredResponse;
use crate::record::fingerprint::JsonPointer;
use crate::record::key::{Scope, ScopeDigest};
use crate::settings::file::in_code::IN_CODE;
use crate::settings::{InFlight, OnAbandoned, OnFailed, OnOutage};
use crate::store::memory::MemoryStore;

type Layer = IdempotencyLayer<MemoryStore>;

fn layer() -> Layer {
    IdempotencyLayer::new(MemoryStore::new())
}

/// A field with a value that is not the default, and its setter with the same value.
type Field = (&'static str, Value, fn(Layer) -> Layer);

fn fields() -> Vec<Field> {
    const ODD: HeaderName = HeaderName::from_static("x-odd");
    const SEVEN: Duration = Duration::from_secs(7);
    vec![
        ("body_timeout", json!("7s"), |layer| layer.body_timeout(SEVEN)),
        ("capture_timeout", json!("7s"), |layer| layer.capture_timeout(SEVEN)),
        ("compress_above", json!("1KiB"), |layer| layer.compress_above(1024)),
        ("exclude_headers", json!(["x-odd"]), |layer| layer.exclude_headers([ODD])),
        ("fingerprint_headers", json!(["x-odd"]), |layer| layer.fingerprint_headers([ODD])),
        ("headers", json!(["x-odd"]), |layer| layer.headers([ODD])),
        ("host_in_scope", json!(true), IdempotencyLayer::host_in_scope),
        ("in_flight", json!({"wait": "7s"}), |layer| layer.in_flight(InFlight::Wait(SEVEN))),
        ("key_in_body", json!("/key"), |layer| layer.key_in_body(JsonPointer::from_static("/key"))),
        ("label_records", json!(true), IdempotencyLayer::label_records),
        ("lease", json!("7s"), |layer| layer.lease(SEVEN)),
        ("mark_original", json!(true), IdempotencyLayer::mark_original),
        ("max_held_bytes", json!("25B"), |layer| layer.max_held_bytes(25)),
        ("max_in_flight", json!(7), |layer| layer.max_in_flight(7)),
        ("max_request", json!("3MiB"), |layer| layer.max_request(3 << 20)),
        ("max_response", json!("3MiB"), |layer| layer.max_response(3 << 20)),
        ("max_waiting", json!(1), |layer| layer.max_waiting(1)),
        ("methods", json!(["PUT"]), |layer| layer.methods([Method::PUT])),
        ("namespace", json!("odd"), |layer| layer.namespace("odd")),
        ("new_keys_per_minute", json!(2), |layer| {
            layer.new_keys_per_minute(NonZeroU32::new(2).unwrap())
        }),
        ("on_abandoned", json!("reject"), |layer| layer.on_abandoned(OnAbandoned::Reject)),
        ("on_failed", json!("replay"), |layer| layer.on_failed(OnFailed::Replay)),
        ("on_mismatch", json!("unprocessable_content"), |layer| {
            layer.on_mismatch(OnMismatch::UnprocessableContent)
        }),
        ("on_outage", json!("fail_open_risking_double_effects"), |layer| {
            layer.on_outage(OnOutage::FailOpenRiskingDoubleEffects)
        }),
        ("replay_marker", json!("x-odd"), |layer| layer.replay_marker(ODD)),
        ("require_key", json!(true), IdempotencyLayer::require_key),
        ("retention", json!("7days"), |layer| layer.retention(Duration::from_hours(7 * 24))),
        ("retry_after", json!("7s"), |layer| layer.retry_after(SEVEN)),
        ("retry_conflicts", json!(7), |layer| layer.retry_conflicts(7)),
        ("store_headers", json!(["x-odd"]), |layer| layer.store_headers([ODD])),
        ("store_only_headers", json!(["x-odd"]), |layer| layer.store_only_headers([ODD])),
        ("store_timeout", json!("7s"), |layer| layer.store_timeout(SEVEN)),
        ("stored_response", json!("nothing"), |layer| {
            layer.stored_response(StoredResponse::Nothing)
        }),
        ("strict_keys", json!(true), IdempotencyLayer::strict_keys),
    ]
}

/// What `Debug` shows, and what it does not.
fn shown(layer: &Layer) -> String {
    let config = &*layer.config;
    let scope = ScopeDigest::of(None, &Scope::new("one"));
    let permit = |bytes| config.budgets.wait_permit(ScopeDigest::UNSET, bytes);
    let held_bytes = [24, 25, 26, 64 << 20, (64 << 20) + 1].map(|bytes| permit(bytes).acquire());
    let mut waiting: Vec<_> = (0..1_001).map(|_| permit(0)).collect();
    let waiting = waiting.iter_mut().filter_map(|permit| permit.acquire().then_some(())).count();
    let new_keys = config.new_keys.as_ref();
    let new_keys = new_keys.map(|quota| (0..4).filter(|_| quota.take(scope).is_ok()).count());
    let in_flight = config.in_flight_limit.as_ref().map(|limit| limit.available_permits());
    format!(
        "{config:?}, {:?}, {:?}, {:?}, {waiting}, {held_bytes:?}, {new_keys:?}, {in_flight:?}, {}",
        (config.stored.level, &config.stored.also, &config.stored.only, &config.stored.never),
        config.packing.compress_above,
        config.fingerprinting.headers,
        (config.key_form.parse)(b"bare").is_ok(),
    )
}

fn read(json: &Value) -> Settings {
    serde_json::from_str(&json.to_string()).unwrap()
}

fn whole() -> Value {
    fields().into_iter().map(|(name, value, _)| (name, value)).collect()
}

#[test]
fn each_field_does_what_its_setter_does() {
    let default = shown(&layer());
    for (name, value, setter) in fields() {
        let by_field = shown(&layer().settings(read(&json!({ name: value }))));
        assert_eq!(by_field, shown(&setter(layer())), "{name}");
        assert_ne!(by_field, default, "{name}");
    }
}

#[test]
fn a_switch_is_turned_off_and_an_absent_field_changes_nothing() {
    let on = || layer().require_key().host_in_scope().mark_original().strict_keys().label_records();
    let off = ["require_key", "host_in_scope", "mark_original", "strict_keys", "label_records"];
    let off: Value = off.map(|name| (name.to_owned(), json!(false))).into_iter().collect();
    assert_eq!(shown(&on().settings(read(&off))), shown(&layer()));
    assert_eq!(shown(&on().settings(Settings::default())), shown(&on()));
    assert_eq!(read(&json!({})), Settings::default());
    assert_eq!(read(&json!({"lease": null})), Settings::default());
}

#[test]
fn every_field_is_written_as_it_is_read() {
    let settings = read(&whole());
    assert_eq!(serde_json::to_value(&settings).unwrap(), whole());
    let toml = toml::to_string(&settings).unwrap();
    assert_eq!(toml::from_str::<Settings>(&toml).unwrap(), settings, "{toml}");
    assert_eq!(toml::to_string(&Settings::default()).unwrap(), "");
}

/// The file of all defaults in the guide.
fn guide() -> String {
    let guide = include_str!("../../guide/settings.md");
    guide.split("```toml\n").nth(1).unwrap().split("```").next().unwrap().to_owned()
}

#[test]
fn the_file_in_the_guide_has_every_field_with_its_default() {
    let settings: Settings = toml::from_str(&guide()).unwrap();
    assert_eq!(shown(&layer().settings(settings)), shown(&layer()));

    let with_examples = guide().replace("\n# ", "\n").replace("\nWithout a default", "\n# ");
    let file: toml::Table = with_examples.parse().unwrap();
    let named: BTreeSet<_> = file.keys().map(String::as_str).collect();
    assert_eq!(named, fields().into_iter().map(|(name, ..)| name).collect());
    toml::from_str::<Settings>(&with_examples).unwrap();
}

/// A setter that takes a plain value and is in neither list was forgotten in [`Settings`].
#[test]
fn every_setter_is_a_field_or_code_or_a_secret_or_a_profile() {
    let no_fields = IN_CODE.into_iter().chain(["fingerprint_fn", "header", "settings"]);
    let api = include_str!("../../../tests/public_api/api.txt");
    let setters = api.lines().filter_map(|line| {
        let name = line.strip_prefix("pub fn tower_idempotency::IdempotencyLayer<St>::")?;
        (name.contains("(self") && name.contains("-> Self"))
            .then(|| name.split(['(', '<']).next())?
    });
    let known = fields().into_iter().map(|(name, ..)| name).chain(no_fields);
    assert_eq!(setters.collect::<BTreeSet<_>>(), known.collect());
}

#[test]
fn what_cannot_be_read_is_rejected_with_what_was_expected() {
    let wrong = [
        (json!({"leese": "10s"}), "unknown field `leese`, expected one of `body_timeout`"),
        (
            json!({"lease": "10"}),
            "string \"10\", expected a duration like 300ms, 10s, 5m (minutes)",
        ),
        (
            json!({"lease": "5M"}),
            "string \"5M\", expected a duration like 300ms, 10s, 5m (minutes)",
        ),
        (json!({"lease": 10}), "integer `10`, expected a duration"),
        (json!({"lease": true}), "boolean `true`, expected a duration"),
        (json!({"max_request": "1MB"}), "string \"1MB\", expected a size like 64KiB or 1MiB"),
        (json!({"max_request": -1}), "integer `-1`, expected a size"),
        (json!({"in_flight": "wait"}), "\"wait\", expected `reject`, or a `wait` with a duration"),
        (json!({"in_flight": "wait"}), r#"`{ wait = "5s" }` in TOML, `{"wait": "5s"}` in JSON"#),
        (json!({"in_flight": {"wait": "5"}}), "string \"5\", expected a duration"),
        (json!({"in_flight": {"waits": "5s"}}), "unknown field `waits`, expected `wait`"),
        (json!({"in_flight": {}}), "missing field `wait`"),
        (json!({"on_failed": "refuse"}), "expected one of `rerun`, `replay`, `reject`"),
        (json!({"on_outage": "open"}), "`fail_closed` or `fail_open_risking_double_effects`"),
        (json!({"headers": ["a b"]}), "string \"a b\", expected the name of a header"),
        (json!({"headers": "x-key"}), "expected a sequence"),
        (json!({"methods": ["post"]}), "expected a method in upper case, such as POST"),
        (json!({"key_in_body": "key"}), "expected a JSON pointer like /idempotency_key"),
        (json!({"new_keys_per_minute": 0}), "expected a nonzero u32"),
        (json!({"require_key": "yes"}), "expected a boolean"),
    ];
    for (json, expected) in wrong {
        let error = serde_json::from_str::<Settings>(&json.to_string()).unwrap_err().to_string();
        assert!(error.contains(expected), "{json}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    let error = toml::from_str::<Settings>("retention = \"24h\"\nlease = \"10\"").unwrap_err();
    assert!(error.to_string().contains("line 2"), "{error}");
}

#[test]
fn a_value_that_switches_a_part_of_the_layer_off_is_an_error_with_the_least_value() {
    let least = [
        (json!({"body_timeout": "0s"}), "`body_timeout` is 0s, and must be 10ms or more"),
        (json!({"capture_timeout": "9ms"}), "`capture_timeout` is 9ms, and must be 10ms or more"),
        (json!({"store_timeout": "0s"}), "`store_timeout` is 0s, and must be 10ms or more"),
        (json!({"lease": "0s"}), "`lease` is 0s, and must be 100ms or more"),
        (json!({"retention": "999ms"}), "`retention` is 999ms, and must be 1s or more"),
        (json!({"max_in_flight": 0}), "`max_in_flight` is 0, and must be 1 or more"),
        (json!({"max_request": 0}), "`max_request` is 0B, and must be 1B or more"),
        (json!({"max_response": "0MiB"}), "`max_response` is 0B, and must be 1B or more"),
        (json!({"headers": []}), "`headers` is empty, and must have 1 entry or more"),
        (json!({"methods": []}), "`methods` is empty, and must have 1 entry or more"),
    ];
    for (json, expected) in least {
        let error = serde_json::from_str::<Settings>(&json.to_string()).unwrap_err().to_string();
        assert!(error.starts_with(expected) && error.contains("line 1"), "{json}: {error}");
    }
    // These have their use.
    for json in [
        json!({"max_waiting": 0, "max_held_bytes": 0, "retry_after": "0s", "retry_conflicts": 0}),
        json!({"in_flight": {"wait": "0s"}, "compress_above": 0, "store_only_headers": []}),
        json!({"body_timeout": "10ms", "lease": "100ms", "retention": "1s", "max_in_flight": 1}),
    ] {
        read(&json);
    }
}

/// The setters take such values, and the layer then says what is switched off. A file cannot have
/// them, so that both must agree.
#[test]
fn no_file_can_switch_a_part_of_the_layer_off() {
    for (name, value, setter) in fields() {
        assert!(setter(layer()).config.switched_off().next().is_none(), "{name}");
        let zero = match &value {
            Value::Array(_) => json!([]),
            Value::Number(_) => json!(0),
            Value::String(text) if text.ends_with(['s', 'B']) => json!("0s"),
            _ => continue,
        };
        for zero in [zero, json!(0)] {
            if let Ok(settings) = serde_json::from_str(&json!({ name: zero }).to_string()) {
                let off = layer().settings(settings).config.switched_off().next().is_some();
                assert!(!off, "{name} = {zero}");
            }
        }
    }
}

#[test]
fn a_setter_that_is_not_a_field_is_told_to_be_set_in_code() {
    for name in IN_CODE {
        let json = json!({ name: "hunter2" }).to_string();
        let error = serde_json::from_str::<Settings>(&json).unwrap_err().to_string();
        let expected =
            format!("`{name}` is not a field: set it in code, by `IdempotencyLayer::{name}`");
        assert_eq!(error, expected);
    }
    let toml = "[idempotency]\nlease = \"10s\"\nsecret = \"hunter2\"";
    let error = toml::from_str::<BTreeMap<String, Settings>>(toml).unwrap_err();
    assert!(error.message().starts_with("`secret` is not a field"), "{error}");
}
