#![allow(clippy::unwrap_used)]

use std::fmt::Write;

use proptest::prelude::*;
use serde_json::{Map, Number, Value};
use sha2::{Digest, Sha256};

use super::{canonical, content, parse};
use crate::record::fingerprint::{CanonicalBody, JsonPointer};

fn whole(text: impl AsRef<[u8]>) -> Option<String> {
    let canonical = canonical(&parse(text.as_ref())?).unwrap();
    Some(String::from_utf8(canonical).unwrap())
}

fn same(rule: &CanonicalBody, one: &str, other: &str) -> bool {
    content(one.as_bytes(), rule).unwrap() == content(other.as_bytes(), rule).unwrap()
}

fn pointer(pointer: &str) -> JsonPointer {
    JsonPointer::new(pointer).unwrap()
}

#[test]
fn the_vectors_of_rfc_8785_come_out_right() {
    macro_rules! vectors {
        ($($name:literal),*) => {[$((
            $name,
            &include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/canonical/input/", $name, ".json"))[..],
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/canonical/output/", $name, ".json")),
        )),*]};
    }
    for (name, input, output) in
        vectors!("arrays", "french", "structures", "unicode", "values", "weird")
    {
        assert_eq!(whole(input).as_deref(), Some(output), "{name}");
        assert_eq!(whole(output).as_deref(), Some(output), "{name} again");
    }
}

/// The doubles of the number sequence of the reference implementation.
fn numbers() -> impl Iterator<Item = u64> {
    let first =
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/canonical/numbers.txt"));
    let first = first.lines().map(|digits| u64::from_str_radix(digits, 16).unwrap());
    let mut block = [0; 32];
    let random = std::iter::repeat_with(move || {
        block = Sha256::digest(block).into();
        let (doubles, _) = block.as_chunks();
        doubles.iter().copied().map(u64::from_le_bytes).collect::<Vec<_>>()
    });
    let is_number = |bits: &u64| f64::from_bits(*bits).is_finite() && f64::from_bits(*bits) != 0.0;
    let serial = 0x0010_0000_0000_0000..;
    first.chain(serial.take(2000)).chain(random.flatten().filter(is_number))
}

/// RFC 8785, appendix B, contains the digests of the first 1,000 and the first 10,000 lines.
#[test]
fn the_number_sequence_of_rfc_8785_comes_out_right() {
    let mut lines = Sha256::new();
    let mut digests = Vec::new();
    for (line, bits) in (1..=10_000).zip(numbers()) {
        let number = whole(format!("{:e}", f64::from_bits(bits))).unwrap();
        lines.update(format!("{bits:x},{number}\n"));
        if line == 1000 || line == 10_000 {
            let digest: [u8; 32] = lines.clone().finalize().into();
            digests.push(blake3::Hash::from_bytes(digest).to_hex().to_string());
        }
    }
    assert_eq!(
        digests,
        [
            "be18b62b6f69cdab33a7e0dae0d9cfa869fda80ddc712221570f9f40a5878687",
            "b9f7a8e75ef22a835685a52ccba7f7d6bdc99e34b010992cbc5864cd12be6892",
        ]
    );
}

#[test]
fn what_two_readers_may_read_differently_has_no_canonical_form() {
    let deep = |levels| "[".repeat(levels) + &"]".repeat(levels);
    for text in [
        "",
        "{",
        "{\"a\":1}}",
        "{\"a\":1} {}",
        "{'a':1}",
        "[1,]",
        "[01]",
        "NaN",
        "\u{feff}{}",
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"\u0061":2}"#,
        r#"{"amount":9007199254740993}"#,
        "[1e400]",
        r#""\ud800""#,
        r#""\udc00\ud800""#,
        &deep(200),
    ] {
        assert_eq!(whole(text), None, "{text}");
    }
    assert_eq!(whole(b"\"\xff\""), None);
    assert_eq!(whole(b"\xff\xfe{\0}\0"), None);
    assert!(whole(deep(100)).is_some());
}

#[test]
fn numbers_that_a_double_takes_for_one_are_never_one() {
    let texts =
        ["9007199254740992", "9007199254740993", "9007199254740993.0", "9007199254740994.5"];
    let forms: Vec<_> = texts.iter().filter_map(whole).collect();
    assert_eq!(forms, ["9007199254740992"]);
}

#[test]
fn ignored_members_do_not_count_wherever_they_are() {
    let rule = CanonicalBody::json().ignore(pointer("/nonce")).ignore(pointer("/meta/a~1b"));
    let one = r#"{"amount":1,"nonce":"x","meta":{"a/b":[1,2],"c":1}}"#;
    assert!(same(&rule, one, r#"{"meta":{"c":1},"amount":1}"#));
    assert!(same(&rule, one, r#"{"meta":{"a/b":null,"c":1},"amount":1,"nonce":{"nonce":1}}"#));
    assert!(!same(&rule, one, r#"{"meta":{"c":1},"amount":2}"#));
    assert!(!same(&rule, one, r#"{"meta":{"c":1,"nonce":"x"},"amount":1}"#));
    assert!(!same(&rule, one, r#"{"amount":1}"#));
    assert!(same(&CanonicalBody::json().ignore(pointer("")), one, "null"));
}

#[test]
fn an_ignored_element_does_not_move_its_neighbours() {
    let rule = CanonicalBody::json().ignore(pointer("/items/0")).ignore(pointer("/items/2/at"));
    let one = r#"{"items":["x","y",{"at":1,"n":3}]}"#;
    assert!(same(&rule, one, r#"{"items":[null,"y",{"at":2,"n":3}]}"#));
    assert!(same(&rule, one, r#"{"items":[{"x":1},"y",{"n":3}]}"#));
    for other in [
        r#"{"items":["y",{"at":1,"n":3}]}"#,
        r#"{"items":["x","z",{"at":1,"n":3}]}"#,
        r#"{"items":["x",null,{"at":1,"n":3}]}"#,
        r#"{"items":["x","y",{"at":1,"n":4}]}"#,
        r#"{"items":["x","y",{"at":1,"n":3},null]}"#,
        r#"{"items":{"0":"x","1":"y"}}"#,
        r#"{"items":null}"#,
    ] {
        assert!(!same(&rule, one, other), "{other}");
    }
}

#[test]
fn two_ignored_elements_do_not_shift_one_another() {
    let rule = CanonicalBody::json().ignore(pointer("/0")).ignore(pointer("/1"));
    assert!(same(&rule, "[1,2,3]", "[4,5,3]"));
    assert!(!same(&rule, "[1,2,3]", "[1,2,4]"));
    assert!(!same(&rule, "[1,2,3]", "[1,3]"));
}

#[test]
fn only_what_was_chosen_counts_and_whether_it_is_there() {
    let rule = CanonicalBody::json().only([pointer("/to"), pointer("/money/amount")]);
    let one = r#"{"to":"a","money":{"amount":1.0,"note":"x"},"nonce":1}"#;
    assert!(same(&rule, one, r#"{"money":{"amount":1},"to":"a"}"#));
    for other in [
        r#"{"to":"b","money":{"amount":1}}"#,
        r#"{"to":"a","money":{"amount":2}}"#,
        r#"{"to":"a","money":{"amount":null}}"#,
        r#"{"to":"a"}"#,
        r#"{"money":{"amount":"a"},"to":1}"#,
    ] {
        assert!(!same(&rule, one, other), "{other}");
    }
    assert!(!same(&rule, r#"{"to":null}"#, "{}"));
    assert!(
        !same(&rule, r#"{"to":1}"#, r#"{"money":{"amount":1}}"#),
        "one field does not pass for another"
    );

    let neither = rule.ignore(pointer("/to"));
    assert!(same(&neither, one, r#"{"to":"b","money":{"amount":1}}"#));
}

#[test]
fn the_canonical_form_of_a_large_double_is_an_integer_and_has_none_itself() {
    let form = whole("5.2757975143422126e+20").unwrap();
    assert_eq!(form, "527579751434221260000");
    assert_eq!(whole(form), None);
}

/// Bytes that choose a spelling at each step.
struct Whims<'w>(std::iter::Cycle<std::slice::Iter<'w, u8>>);

impl Whims<'_> {
    fn next(&mut self, choices: u8) -> u8 {
        self.0.next().unwrap() % choices
    }

    fn space(&mut self) -> &'static str {
        ["", " ", "\n", "\t\r "][usize::from(self.next(4))]
    }
}

/// Writes a value in one of its many spellings.
fn spell(value: &Value, whims: &mut Whims<'_>, text: &mut String) {
    text.push_str(whims.space());
    match value {
        Value::Null | Value::Bool(_) => text.push_str(&value.to_string()),
        Value::Number(number) => spell_number(number, whims, text),
        Value::String(string) => spell_string(string, whims, text),
        Value::Array(elements) => {
            text.push('[');
            for (index, element) in elements.iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                spell(element, whims, text);
            }
            text.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            if !members.is_empty() {
                let by = usize::from(whims.next(8)) % members.len();
                members.rotate_left(by);
            }
            text.push('{');
            for (index, (name, member)) in members.into_iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                text.push_str(whims.space());
                spell_string(name, whims, text);
                text.push_str(whims.space());
                text.push(':');
                spell(member, whims, text);
            }
            text.push('}');
        }
    }
    text.push_str(whims.space());
}

fn spell_number(number: &Number, whims: &mut Whims<'_>, text: &mut String) {
    let shortest = format!("{:e}", number.as_f64().unwrap());
    let (mantissa, exponent) = shortest.split_once('e').unwrap();
    let zeros = if mantissa.contains('.') { "00" } else { ".0" };
    let sign = if exponent.starts_with('-') { "" } else { "+0" };
    let spelled = match whims.next(3) {
        0 => format!("{mantissa}{zeros}e{exponent}"),
        1 => format!("{mantissa}E{sign}{exponent}"),
        _ => number.to_string(),
    };
    text.push_str(&spelled);
}

fn spell_string(string: &str, whims: &mut Whims<'_>, text: &mut String) {
    text.push('"');
    for c in string.chars() {
        if c == '"' || c == '\\' || c < ' ' || whims.next(3) == 0 {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                write!(text, "\\u{unit:04x}").unwrap();
            }
        } else {
            text.push(c);
        }
    }
    text.push('"');
}

fn values() -> impl Strategy<Value = Value> {
    let exact = 1_i64 << 53;
    // Between these two numbers the canonical form of a double is an integer that is too large to
    // be clear.
    let is_apt = |double: &f64| double.is_finite() && !(9e15..1e21).contains(&double.abs());
    let doubles = any::<f64>().prop_filter("no JSON, or an integer", is_apt);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-exact..=exact).prop_map(Value::from),
        doubles.prop_map(Value::from),
        "[a\"\\\\\u{0}é€😂]{0,4}".prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map("[ab/~é]{0,2}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// The value with one of its leaves or lists changed.
fn changed(value: &mut Value, whims: &mut Whims<'_>) {
    match value {
        Value::Null => *value = Value::Bool(false),
        Value::Bool(bool) => *bool = !*bool,
        Value::Number(number) => {
            let double = number.as_f64().unwrap();
            *value = if double == 0.0 { 1.0 } else { -double }.into();
        }
        Value::String(string) => string.push(char::from(b'a' + whims.next(2))),
        Value::Array(elements) => match elements.len() {
            0 => elements.push(Value::Null),
            length => changed(&mut elements[usize::from(whims.next(8)) % length], whims),
        },
        Value::Object(members) => match members.len() {
            0 => drop(members.insert(String::new(), Value::Null)),
            length => changed(
                members.values_mut().nth(usize::from(whims.next(8)) % length).unwrap(),
                whims,
            ),
        },
    }
}

#[test]
fn strings_are_escaped_as_serde_json_does() {
    let all: String = (0..0x100)
        .chain([0x2028, 0xd7ff, 0xe000, 0xffff, 0x10000])
        .filter_map(char::from_u32)
        .collect();
    let text = serde_json::to_string(&all).unwrap();
    assert_eq!(whole(&text), Some(text));
}

proptest! {
    #[test]
    fn every_spelling_of_a_value_is_the_same_and_another_value_is_not(
        value in values(),
        bytes in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        let mut whims = Whims(bytes.iter().cycle());
        let plain = whole(value.to_string()).unwrap();
        let mut spelled = String::new();
        spell(&value, &mut whims, &mut spelled);
        prop_assert_eq!(whole(&spelled), Some(plain.clone()), "{}", spelled);
        prop_assert_eq!(whole(&plain), Some(plain.clone()));

        let mut other = value;
        changed(&mut other, &mut whims);
        prop_assert_ne!(whole(other.to_string()).unwrap(), plain);
    }

    #[test]
    fn a_text_with_a_duplicate_name_has_no_canonical_form(value in values(), name in "[ab/~é\"\\\\]{0,3}") {
        let name = Value::String(name);
        let text = format!("[{{{name}:{value},\"other\":1,{name}:{value}}}]");
        prop_assert_eq!(whole(text), None);
    }

    #[test]
    fn an_integer_either_has_a_form_of_its_own_or_none(integer: i64, small in -3_i64..3) {
        for integer in [integer, (1 << 53) + small, -(1 << 53) + small, integer >> 11] {
            let form = whole(integer.to_string());
            prop_assert!(form.is_none() || form == Some(integer.to_string()), "{}: {:?}", integer, form);
            prop_assert_eq!(form.is_some(), integer.unsigned_abs() <= 1 << 53);
        }
    }
}
