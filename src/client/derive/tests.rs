#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::Value;

use super::*;

const DAY: Duration = Duration::from_hours(24);

fn moment(millis: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis)
}

fn bytes(digits: &str) -> Vec<u8> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.as_bytes().chunks(2).map(byte).collect()
}

/// The file that the suite of the SDK for TypeScript reads too.
#[test]
fn the_vectors_come_out_right() {
    let vectors: Value =
        serde_json::from_str(include_str!("../../../tests/vectors/derived-keys.json")).unwrap();
    let vectors = vectors.as_array().unwrap();
    assert!(vectors.len() >= 12);
    for vector in vectors {
        let text = |name: &str| vector[name].as_str().unwrap();
        let window = vector["window"].as_object().map_or(TimeWindow::ALWAYS, |window| {
            let number = |name: &str| window[name].as_u64().unwrap();
            TimeWindow::containing(
                moment(number("at_ms")),
                Duration::from_millis(number("length_ms")),
            )
        });
        let content = match vector["payload_hex"].as_str() {
            Some(digits) => bytes(digits),
            None => text("payload_utf8").into(),
        };
        let key = derive_key(text("user"), text("action"), window, content);
        assert_eq!(key.as_str(), text("key"), "{}", text("name"));
    }
}

#[test]
fn a_window_begins_where_the_one_before_it_ends() {
    let day = |millis| TimeWindow::containing(moment(millis), DAY);
    assert_eq!(day(0), day(86_399_999));
    assert_ne!(day(86_399_999), day(86_400_000));
    assert_eq!(day(86_400_000), day(86_400_001));
}

#[test]
fn windows_of_different_lengths_are_different_even_where_their_index_is_the_same() {
    assert_ne!(TimeWindow::containing(moment(0), DAY), TimeWindow::containing(moment(0), DAY * 2));
}

#[test]
fn a_window_without_length_is_all_of_time() {
    for length in [Duration::ZERO, Duration::from_micros(999)] {
        assert_eq!(TimeWindow::containing(moment(1_790_000_000_000), length), TimeWindow::ALWAYS);
    }
}

#[test]
fn moments_and_lengths_beyond_all_bounds_have_a_window() {
    let before = UNIX_EPOCH - DAY;
    assert_eq!(TimeWindow::containing(before, DAY), TimeWindow::containing(UNIX_EPOCH, DAY));
    let _ = TimeWindow::containing(moment(u64::MAX / 1_000), Duration::MAX);
}

proptest! {
    #[test]
    fn different_operations_have_different_keys(
        operations in prop::collection::hash_set(("[ab]{0,3}", "[ab]{0,3}", 0_u64..3, 0_u64..3, "[ab]{0,3}"), 2..20)
    ) {
        let keys: HashSet<_> = operations
            .iter()
            .map(|(user, action, length, at, content)| {
                let window = TimeWindow::containing(moment(*at), Duration::from_millis(*length));
                (derive_key(user, action, window, content), (user, action, window.length, window.index, content))
            })
            .collect();
        let distinct_keys: HashSet<_> = keys.iter().map(|(key, _)| key).collect();
        let distinct_operations: HashSet<_> = keys.iter().map(|(_, operation)| operation).collect();
        prop_assert_eq!(distinct_keys.len(), distinct_operations.len());
    }
}
