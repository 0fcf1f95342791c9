//! The canonical form of a text has the value of the text. Different values have different forms.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tower_idempotency::fuzzing;

/// The separator of two texts. No text contains it, because it is not UTF-8.
const BETWEEN: u8 = 0xff;

fuzz_target!(|texts: &[u8]| {
    let forms: Vec<_> = texts.splitn(2, |byte| *byte == BETWEEN).filter_map(checked).collect();
    if let [(one, form), (other, other_form)] = &forms[..] {
        assert_eq!(is_same(one, other), form == other_form);
    }
});

/// Checks one text. Returns its value and its canonical form, if it has one.
fn checked(text: &[u8]) -> Option<(Value, Vec<u8>)> {
    let form = fuzzing::canonical_json(text)?;
    let value: Value = serde_json::from_slice(text).unwrap();
    assert!(is_same(&value, &serde_json::from_slice(&form).unwrap()));

    // `None` if a number of the form is an integer that is too large. In the text it was not.
    match fuzzing::canonical_json(&form) {
        Some(again) => {
            assert_eq!(again, form);
            assert_eq!(fuzzing::fingerprint_of_json(text), fuzzing::fingerprint_of_json(&form));
        }
        None => assert!(has_large_number(&value)),
    }
    Some((value, form))
}

/// Whether two values are equal, with numbers compared as doubles.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let in_other =
                |(name, member)| other.get(name).is_some_and(|other| is_same(member, other));
            one.len() == other.len() && one.iter().all(in_other)
        }
        _ => one == other,
    }
}

fn has_large_number(value: &Value) -> bool {
    match value {
        Value::Number(number) => {
            number.as_f64().is_some_and(|double| double.abs() > 9_007_199_254_740_992.0)
        }
        Value::Array(elements) => elements.iter().any(has_large_number),
        Value::Object(members) => members.values().any(has_large_number),
        _ => false,
    }
}
