#![allow(clippy::unwrap_used)]

use serde_json::Value;

use super::{MOST_OBJECTS, decoded_len, has_repeated_members, has_too_many_objects};

fn repeats(text: &str) -> bool {
    has_repeated_members(text.as_bytes(), &serde_json::from_str(text).unwrap())
}

#[test]
fn a_name_that_stands_twice_in_an_object_is_seen_wherever_it_is_and_however_it_is_spelled() {
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
        assert!(repeats(text), "{text}");
    }
}

#[test]
fn a_name_that_stands_in_two_objects_is_no_repetition() {
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
        assert!(!repeats(text), "{text}");
    }
}

/// What the parser makes of it depends on the features that any crate in the program asks for.
#[test]
fn a_name_that_the_parser_keeps_for_itself_does_not_pass_for_something_else() {
    let raw = br#"{"$serde_json::private::RawValue":"{\"a\":\"b\"}"}"#;
    let taken_for: Value = serde_json::from_str(r#"{"a":"b"}"#).unwrap();
    assert!(has_repeated_members(raw, &taken_for));
    let number = br#"{"$serde_json::private::Number":"1"}"#;
    assert!(has_repeated_members(number, &serde_json::from_str("1").unwrap()));
    let made_up_for = br#"[{"\u0024serde_json::private::RawValue":"{\"a\":1,\"b\":2}"},{"":1,"":1}]"#;
    assert!(has_repeated_members(made_up_for, &serde_json::from_str(r#"[{"a":1,"b":2},{"":1}]"#).unwrap()));
}

#[test]
fn a_string_is_as_long_as_its_decoded_text() {
    for text in [r"", r"abc", r"\u0000", r"\u00e9x", r"\u20AC", r"\ud83d\ude02", r#"\\u0041\"\/"#, "é€😂"]
    {
        let decoded: String = serde_json::from_str(&format!("\"{text}\"")).unwrap();
        assert_eq!(decoded_len(text.as_bytes()), decoded.len(), "{text}");
    }
}

#[test]
fn a_text_with_more_objects_than_it_is_worth_is_known_before_it_is_read() {
    let objects = |count: usize| format!("[{}{{}}]", "{},".repeat(count - 1));
    assert!(!has_too_many_objects(objects(MOST_OBJECTS).as_bytes()));
    assert!(has_too_many_objects(objects(MOST_OBJECTS + 1).as_bytes()));
}
