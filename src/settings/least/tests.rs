use std::time::Duration;

use http::HeaderName;

use crate::layer::IdempotencyLayer;
use crate::record::fingerprint::JsonPointer;
use crate::settings::InFlight;
use crate::store::memory::MemoryStore;

type Layer = IdempotencyLayer<MemoryStore>;

fn layer() -> Layer {
    IdempotencyLayer::new(MemoryStore::new())
}

fn off(layer: &Layer) -> Vec<&'static str> {
    layer.config.switched_off().map(|off| off.setting).collect()
}

#[test]
fn a_value_that_switches_a_part_of_the_layer_off_is_found() {
    const ZERO: Duration = Duration::ZERO;
    const NINE: Duration = Duration::from_millis(9);
    let found: [(&str, Layer); 15] = [
        ("headers", layer().headers([])),
        ("methods", layer().methods([])),
        ("max_in_flight", layer().max_in_flight(0)),
        ("max_request", layer().max_request(0)),
        ("max_response", layer().max_response(0)),
        ("lease", layer().lease(ZERO)),
        ("lease", layer().lease(Duration::from_millis(99))),
        ("retention", layer().retention(ZERO)),
        ("retention", layer().retention(Duration::from_millis(999))),
        ("store_timeout", layer().store_timeout(ZERO)),
        ("store_timeout", layer().store_timeout(NINE)),
        ("body_timeout", layer().body_timeout(ZERO)),
        ("capture_timeout", layer().capture_timeout(ZERO)),
        ("secret", layer().secret([0; 32])),
        ("methods", layer().methods([]).max_waiting(0)),
    ];
    for (setting, layer) in found {
        assert_eq!(off(&layer), [setting]);
    }
    let all = layer().headers([]).methods([]).max_in_flight(0).lease(ZERO);
    assert_eq!(off(&all), ["headers", "methods", "max_in_flight", "lease"]);
}

#[test]
fn a_value_that_has_its_use_is_not_found() {
    const TEN: Duration = Duration::from_millis(10);
    let useful: [Layer; 9] = [
        layer(),
        // The key comes from the body alone.
        layer().headers([]).key_in_body(JsonPointer::from_static("/key")),
        layer().headers([HeaderName::from_static("key")]).max_in_flight(1),
        layer().max_request(1).max_response(1),
        layer().lease(Duration::from_millis(100)).retention(Duration::from_secs(1)),
        layer().store_timeout(TEN).body_timeout(TEN).capture_timeout(TEN),
        layer().in_flight(InFlight::Wait(Duration::ZERO)).max_waiting(0).max_held_bytes(0),
        layer().retry_after(Duration::ZERO).retry_conflicts(0).store_only_headers([]),
        layer().secret([1; 32]),
    ];
    for layer in useful {
        assert_eq!(off(&layer), [""; 0]);
    }
}

#[cfg(feature = "encryption")]
#[test]
fn a_key_of_zeros_is_found() {
    use crate::store::pack::EncryptionKeys;

    assert_eq!(off(&layer().encrypt(EncryptionKeys::new(1, [0; 32]))), ["encrypt"]);
    assert_eq!(off(&layer().encrypt(EncryptionKeys::new(1, [1; 32]))), [""; 0]);
}
