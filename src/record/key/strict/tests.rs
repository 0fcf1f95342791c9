use super::super::{IdempotencyKey, KeyError};

fn parsed(value: &[u8]) -> Result<String, KeyError> {
    IdempotencyKey::parse_strict(value).map(|key| key.as_str().to_owned())
}

#[test]
fn a_string_is_the_key_that_the_lenient_rule_reads_too() {
    for value in [br#""abc""#.as_slice(), br#""a\"b\\c""#, br#""0123-XYZ""#] {
        assert_eq!(IdempotencyKey::parse_strict(value), IdempotencyKey::parse(value));
        assert!(parsed(value).is_ok());
    }
}

#[test]
fn parameters_and_outer_spaces_are_not_part_of_the_key() {
    for value in [br#""abc";version=1"#.as_slice(), br#"  "abc"  "#, br#""abc";a;b="c""#] {
        assert_eq!(parsed(value).as_deref(), Ok("abc"), "{}", value.escape_ascii());
    }
}

#[test]
fn a_value_that_is_not_a_string_is_rejected() {
    let values: [&[u8]; 13] = [
        b"",
        b"abc",
        b"8e03978e-40d5-43e8-bc93-6894a57f9324",
        b"42",
        b"4.2",
        b"?1",
        b":YWJj:",
        b"@1659578233",
        br#"("abc")"#,
        br#""abc", "def""#,
        br#""abc"#,
        br#""a\bc""#,
        "\"schlüssel\"".as_bytes(),
    ];
    for value in values {
        assert_eq!(parsed(value), Err(KeyError::NotAString), "{}", value.escape_ascii());
    }
}

#[test]
fn every_string_of_1_to_255_characters_is_a_key() {
    for key in ["foo bar", " ", " a  b ", &" ".repeat(255), &(' '..='~').collect::<String>()] {
        let quoted = format!("\"{}\"", key.replace('\\', r"\\").replace('"', "\\\""));
        assert_eq!(parsed(quoted.as_bytes()).as_deref(), Ok(key));
    }
    assert_eq!(
        IdempotencyKey::parse(br#""foo bar""#),
        Err(KeyError::NotVisibleAscii),
        "in strict mode alone"
    );
}

#[test]
fn the_rules_for_keys_apply_within_the_string() {
    assert_eq!(parsed(br#""""#), Err(KeyError::Empty));
    let quoted = |len| format!("\"{}\"", "k".repeat(len));
    assert!(parsed(quoted(255).as_bytes()).is_ok());
    assert_eq!(parsed(quoted(256).as_bytes()), Err(KeyError::TooLong { len: 256 }));
}
