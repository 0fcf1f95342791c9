#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

use super::{Document, Flaw, Value, order};
use crate::record::fingerprint::{JsonPointer, MOST_VALUES};

fn flaw(text: impl AsRef<[u8]>) -> Option<Flaw> {
    Document::parse(text.as_ref()).err()
}

/// The document as a value of `serde_json`.
fn said(document: &Document<'_>, value: &Value<'_>) -> Json {
    let children = |range: &std::ops::Range<usize>| &document.nodes[range.clone()];
    match value {
        Value::Bool(bool) => Json::Bool(*bool),
        Value::Number(literal) => serde_json::from_str(literal).unwrap(),
        Value::String(string) => Json::String(string.clone().into_owned()),
        Value::Array(elements) => {
            children(elements).iter().map(|element| said(document, &element.value)).collect()
        }
        Value::Object(members) => {
            let member = |node: &super::Node<'_>| {
                (node.name.clone().into_owned(), said(document, &node.value))
            };
            Json::Object(children(members).iter().map(member).collect::<Map<_, _>>())
        }
        Value::Null => Json::Null,
        #[cfg(feature = "canonical")]
        Value::Removed => Json::Null,
    }
}

fn at(document: &Document<'_>, pointer: &str) -> Option<Json> {
    let found = document.look_up(&JsonPointer::new(pointer).unwrap());
    found.map(|value| said(document, value))
}

#[test]
fn a_name_that_is_twice_in_an_object_is_seen_wherever_it_is_and_however_it_is_spelled() {
    for text in [
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"a":2}"#,
        r#"{"a":1,"b":{},"a":{"b":[]}}"#,
        r#"{"a":1,"\u0061":1}"#,
        r#"{"é":1,"\u00e9":1}"#,
        r#"{"😂":1,"\ud83d\uDE02":1}"#,
        r#"{"/":1,"\/":1}"#,
        r#"{"":1,"":2}"#,
        r#"[0,[{"x":{"a":1,"b":2,"a":3}}]]"#,
        "{ \"a\\\"\" : 1 ,\n\t\"a\\u0022\"\r\n:2 }",
    ] {
        assert_eq!(flaw(text), Some(Flaw::Repeated), "{text}");
    }
}

#[test]
fn a_name_that_is_in_two_objects_is_not_a_duplicate() {
    for text in [
        r#"{"a":1,"A":1,"a ":1,"":1}"#,
        r#"{"a":{"a":{"a":"a"}},"b":[{"a":1},{"a":1}]}"#,
        r#"{"a":":::","b":"\":\"","c\\":":","\\\"":"\\"}"#,
        r#"{"\u0000\u007f\u0080\u07ff\u0800\uffff\ud83d\ude02":"\b\f\n\r\t\"\\\/ é€😂"}"#,
        r#"":""#,
        "-1.5e+3",
        " [ ] ",
        "null",
    ] {
        assert_eq!(flaw(text), None, "{text}");
    }
}

/// `serde_json` gives these names another meaning if any crate in the program enables a feature of
/// it.
#[test]
fn a_name_that_serde_json_reserves_is_a_name() {
    for name in ["$serde_json::private::RawValue", "$serde_json::private::Number"] {
        let text = format!(r#"{{"{name}":"1"}}"#);
        let document = Document::parse(text.as_bytes()).unwrap();
        assert_eq!(at(&document, &format!("/{name}")), Some(json!("1")));
    }
}

#[test]
fn what_another_reader_may_skip_is_unreadable_and_so_is_what_is_not_json() {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    for text in [
        b"[1e999]".as_slice(),
        br#"["\ud800"]"#,
        br#"{"\udc00":1}"#,
        b"\"\xff\"",
        deep(128).as_bytes(),
    ] {
        assert_eq!(flaw(text), Some(Flaw::Unreadable), "{}", String::from_utf8_lossy(text));
    }
    assert_eq!(flaw(deep(127)), None);
    let number = |bytes: usize| format!("0.{}", "0".repeat(bytes - 2));
    assert_eq!([flaw(number(2048)), flaw(number(2049))], [None, Some(Flaw::Unreadable)]);
    for text in [
        "",
        " ",
        "{",
        "[",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1,",
        "{}{}",
        "{} 0",
        "{}\0",
        "\0",
        "\u{feff}{}",
        "nul",
        "nulll",
        "tru",
        "[01]",
        "-",
        "1.",
        ".1",
        "1e",
        "1e+",
        "+1",
        "1.e1",
        "--1",
        "1-1",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\" 1}",
        "{\"a\":1,}",
        "{,}",
        "{a:1}",
        "[1}",
        "{\"a\":1]",
        "\"",
        "\"\n\"",
        "\"\0\"",
        "\"\\",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u+123\"",
        "\"\\ud83d\\n\"",
        "\"\\ud83d\\u0061\"",
        "'a'",
    ] {
        assert_eq!(flaw(text), Some(Flaw::Unreadable), "{text}");
        assert!(serde_json::from_str::<Json>(text).is_err(), "{text}");
    }
}

#[test]
fn a_text_with_more_values_than_the_budget_is_not_read_whatever_they_are() {
    let list =
        |unit: &str, count: usize| format!("[{}{unit}]", format!("{unit},").repeat(count - 1));
    let object = |count: usize| {
        let members: Vec<_> = (0..count).map(|index| format!("\"{index}\":0")).collect();
        format!("{{{}}}", members.join(","))
    };
    for unit in ["0", "\"\"", "null", "[]", "{}"] {
        assert_eq!(flaw(list(unit, MOST_VALUES - 1)), None, "{unit}");
        assert_eq!(flaw(list(unit, MOST_VALUES)), Some(Flaw::Unreadable), "{unit}");
    }
    for unit in ["[0]", "{\"\":[]}"] {
        assert_eq!(flaw(list(unit, MOST_VALUES / 2 - 1)), None, "{unit}");
        assert_eq!(flaw(list(unit, MOST_VALUES / 2)), Some(Flaw::Unreadable), "{unit}");
    }
    assert_eq!(flaw(object(MOST_VALUES - 1)), None);
    assert_eq!(flaw(object(MOST_VALUES)), Some(Flaw::Unreadable));
    assert_eq!(
        flaw(format!("{:?}", "{[,:".repeat(MOST_VALUES))),
        None,
        "what is in a string does not count"
    );
}

#[test]
fn the_pointers_of_rfc_6901_find_what_they_point_at() {
    let text = r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8}"#;
    let document = Document::parse(text.as_bytes()).unwrap();
    let rows = [
        ("/foo", json!(["bar", "baz"])),
        ("/foo/0", json!("bar")),
        ("/", json!(0)),
        ("/a~1b", json!(1)),
        ("/c%d", json!(2)),
        ("/e^f", json!(3)),
        ("/g|h", json!(4)),
        ("/i\\j", json!(5)),
        ("/k\"l", json!(6)),
        ("/ ", json!(7)),
        ("/m~0n", json!(8)),
        ("", serde_json::from_str(text).unwrap()),
    ];
    for (pointer, found) in rows {
        assert_eq!(at(&document, pointer), Some(found), "{pointer}");
    }
    for nothing in ["/bar", "/foo/2", "/foo/-", "/foo/01", "/foo/+1", "/foo/", "/foo/0/x", "/m~01n"]
    {
        assert_eq!(at(&document, nothing), None, "{nothing}");
    }
}

/// Parts of valid and invalid texts.
fn texts() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "\"\\u0061\"",
        "\"😂\\n\"",
        "\"\\ud83d\"",
        "0",
        "-1.5e3",
        "01",
        "1e999",
        "true",
        "false",
        "null",
        " ",
        "\n",
        "\"",
        "\\",
    ]);
    prop::collection::vec(token, 0..12).prop_map(|tokens| tokens.concat())
}

fn values() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_filter("no JSON", |double| double.is_finite()).prop_map(Json::from),
        any::<String>().prop_map(Json::String),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::Array),
            prop::collection::btree_map("[ab/~é]{0,2}", inner, 0..4)
                .prop_map(|members| Json::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    #[test]
    fn it_says_what_the_value_of_serde_json_says(value in values(), is_pretty: bool) {
        let text = if is_pretty { format!("{value:#}") } else { value.to_string() };
        let document = Document::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(at(&document, ""), Some(serde_json::from_str::<Json>(&text).unwrap()));
    }

    #[test]
    fn it_takes_what_serde_json_takes_but_for_duplicate_names(text in texts()) {
        let parsed = serde_json::from_str::<Json>(&text);
        match Document::parse(text.as_bytes()) {
            Ok(document) => prop_assert_eq!(at(&document, ""), Some(parsed.unwrap())),
            // The text after the repeated name was not read.
            Err(Flaw::Repeated) => prop_assert!(text.matches("\"a\"").count() + text.matches("61").count() > 1),
            Err(Flaw::Unreadable) => prop_assert!(parsed.is_err()),
        }
    }

    #[test]
    fn a_text_that_was_damaged_is_taken_only_if_serde_json_takes_it(
        value in values(),
        place: prop::sample::Index,
        other in prop::sample::select(b"\"\\{}[],:-+.eEu0159ntf \n\0".to_vec()),
    ) {
        let mut text = value.to_string().into_bytes();
        let place = place.index(text.len());
        text[place] = other;
        if let Ok(document) = Document::parse(&text) {
            prop_assert_eq!(at(&document, ""), Some(serde_json::from_slice::<Json>(&text).unwrap()));
        } else if let Ok(parsed) = serde_json::from_slice::<Json>(&text) {
            let is_repeated = Document::parse(&text).err() == Some(Flaw::Repeated);
            prop_assert!(is_repeated, "{} is {}", String::from_utf8_lossy(&text), parsed);
        }
    }

    #[test]
    fn escapes_are_decoded_as_serde_json_does(units in prop::collection::vec(any::<u16>(), 0..6), short: bool) {
        let escaped = units.iter().map(|unit| format!("\\u{unit:04x}")).collect::<Vec<_>>().concat();
        let text = format!("\"é{escaped}{}\"", if short { "\\b\\f\\n\\r\\t\\/\\\\\\\"" } else { "" });
        let document = Document::parse(text.as_bytes());
        prop_assert_eq!(document.ok().and_then(|document| at(&document, "")), serde_json::from_str(&text).ok());
    }

    #[test]
    fn names_are_in_the_order_of_utf_16(one in "[a\u{e000}\u{ffff}é😂𐀀]{0,20}", other in "[a\u{e000}\u{ffff}é😂𐀀]{0,20}") {
        for (one, other) in [(one.clone(), other.clone()), (one.clone() + &other, one + "😂")] {
            prop_assert_eq!(order(&one, &other), one.encode_utf16().cmp(other.encode_utf16()));
        }
    }
}
