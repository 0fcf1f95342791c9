#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use proptest::prelude::*;

use super::{IdempotencyKey, KeyError, Scope, StorageKey};

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::parse(text.as_bytes()).unwrap()
}

/// The key that `value` is parsed to, as text.
fn parsed(value: &[u8]) -> Result<String, KeyError> {
    IdempotencyKey::parse(value).map(|key| key.as_str().to_owned())
}

// The key that the client sent

#[test]
fn a_bare_value_and_a_quoted_one_are_one_key() {
    assert_eq!(
        key("8e03978e-40d5-43e8-bc93-6894a57f9324"),
        key("\"8e03978e-40d5-43e8-bc93-6894a57f9324\"")
    );
}

#[test]
fn case_is_preserved() {
    assert_ne!(key("Order"), key("order"));
}

#[test]
fn escapes_are_taken_away_from_a_quoted_value_only() {
    assert_eq!(parsed(br#""a\"b\\c""#).unwrap(), r#"a"b\c"#);
    assert_eq!(parsed(br#"a\"b\\c"#).unwrap(), r#"a\"b\\c"#);
    assert_eq!(parsed(br#""\\""#).unwrap(), r"\");
    assert_eq!(parsed(br#"a"b"#).unwrap(), r#"a"b"#);
}

#[test]
fn a_quoted_value_that_is_not_one_complete_string_is_rejected() {
    let values: [&[u8]; 9] = [
        br#"""#,
        br#""abc"#,
        br#""abc\""#,
        br#""a"b""#,
        br#""abc" "#,
        br#""abc";p=1"#,
        br#""a\bc""#,
        br#""a\"#,
        br#"""""#,
    ];
    for value in values {
        assert_eq!(parsed(value), Err(KeyError::Quoting), "{}", value.escape_ascii());
    }
}

#[test]
fn an_empty_value_is_rejected_bare_and_quoted() {
    assert_eq!(parsed(b""), Err(KeyError::Empty));
    assert_eq!(parsed(b"\"\""), Err(KeyError::Empty));
}

#[test]
fn a_key_has_255_bytes_at_most_its_quotes_and_escapes_not_counted() {
    let longest = "k".repeat(255);
    assert_eq!(parsed(longest.as_bytes()).unwrap(), longest);
    assert_eq!(parsed(format!("\"{longest}\"").as_bytes()).unwrap(), longest);
    let escaped = format!("\"{}\"", "\\\\".repeat(255));
    assert_eq!(parsed(escaped.as_bytes()).unwrap(), "\\".repeat(255));

    let too_long = "k".repeat(256);
    assert_eq!(parsed(too_long.as_bytes()), Err(KeyError::TooLong { len: 256 }));
    let quoted = format!("\"{too_long}\"");
    assert_eq!(parsed(quoted.as_bytes()), Err(KeyError::TooLong { len: 256 }));
}

#[test]
fn only_visible_ascii_is_a_key() {
    for byte in 0..=u8::MAX {
        let bare = parsed(&[b'k', byte]);
        let quoted = parsed(&[b'"', b'k', byte, b'k', b'"']);
        match byte {
            b'"' | b'\\' => assert_eq!((bare.is_ok(), quoted), (true, Err(KeyError::Quoting))),
            0x21..=0x7e => assert!(bare.is_ok() && quoted.is_ok(), "{byte:#x}"),
            _ => {
                assert_eq!(bare, Err(KeyError::NotVisibleAscii), "{byte:#x}");
                assert_eq!(quoted, Err(KeyError::NotVisibleAscii), "{byte:#x}");
            }
        }
    }
    assert_eq!(parsed("schlüssel".as_bytes()), Err(KeyError::NotVisibleAscii));
    assert_eq!(parsed(b" k"), Err(KeyError::NotVisibleAscii), "nothing is trimmed");
    assert_eq!(parsed(b"k "), Err(KeyError::NotVisibleAscii), "nothing is trimmed");
}

#[test]
fn neither_key_nor_scope_shows_itself() {
    let shown = format!("{:?} {:?}", key("s3cr3t"), Scope::new("s3cr3t"));
    assert!(!shown.contains("s3cr3t"), "{shown}");
    let errors = [
        IdempotencyKey::parse("s3cr3t ".as_bytes()).unwrap_err(),
        IdempotencyKey::parse("\"s3cr3t".as_bytes()).unwrap_err(),
        IdempotencyKey::parse("s3cr3t".repeat(60).as_bytes()).unwrap_err(),
    ];
    for error in errors {
        assert!(!format!("{error} {error:?}").contains("s3cr3t"), "{error}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_parsing_panic(value in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = IdempotencyKey::parse(&value);
    }

    #[test]
    fn a_key_in_quotes_is_the_bare_key(text in "[!#-\\[\\]-~]{1,255}") {
        prop_assert_eq!(parsed(text.as_bytes()), Ok(text.clone()));
        prop_assert_eq!(parsed(format!("\"{text}\"").as_bytes()), Ok(text));
    }
}

// The name of the key in a store

fn derived(namespace: &str, scope: &Scope, text: &str) -> StorageKey {
    StorageKey::derive(None, namespace, scope, &key(text))
}

#[test]
fn no_part_runs_into_the_next() {
    let parts = [
        ("", "", "abc"),
        ("", "a", "bc"),
        ("", "ab", "c"),
        ("a", "", "bc"),
        ("a", "b", "c"),
        ("ab", "", "c"),
        ("a:b", "", "c"),
        ("a", "b:c", "d"),
        ("a:b", "c", "d"),
        ("a", "b", "c:d"),
        ("a", "", "b:c:d"),
        ("a\0b", "", "c"),
        ("a", "\0b", "c"),
        ("a", "\u{1}b", "c"),
    ];
    let keys: HashSet<_> = parts
        .iter()
        .map(|(namespace, scope, key)| derived(namespace, &Scope::new(scope), key))
        .collect();
    assert_eq!(keys.len(), parts.len());
}

#[test]
fn storage_keys_are_not_case_folded() {
    let scope = Scope::new("alice");
    assert_ne!(derived("n", &scope, "Order"), derived("n", &scope, "order"));
    assert_ne!(derived("N", &scope, "order"), derived("n", &scope, "order"));
    assert_ne!(derived("n", &Scope::new("Alice"), "order"), derived("n", &scope, "order"));
}

#[test]
fn the_anonymous_scope_differs_from_every_named_scope() {
    let anonymous = derived("n", &Scope::anonymous(), "k");
    for principal in ["", "\0", "\u{1}", "anonymous"] {
        assert_ne!(derived("n", &Scope::new(principal), "k"), anonymous, "{principal:?}");
    }
    assert_ne!(Scope::anonymous(), Scope::new(""));
}

#[test]
fn each_secret_gives_other_storage_keys() {
    let of = |secret| StorageKey::derive(secret, "n", &Scope::anonymous(), &key("k"));
    let keys = HashSet::from([of(None), of(Some(&[0; 32])), of(Some(&[1; 32]))]);
    assert_eq!(keys.len(), 3);
    assert_eq!(of(Some(&[1; 32])), of(Some(&[1; 32])));
}

#[test]
fn a_storage_key_shows_eight_digits_of_itself() {
    let shown = derived("n", &Scope::anonymous(), "k").to_string();
    assert_eq!(shown.len(), 8);
    assert!(shown.bytes().all(|byte| byte.is_ascii_hexdigit()));
}

/// Stores contain records under these names. If this test fails, an upgrade loses every key in
/// flight and runs finished operations again.
#[test]
fn storage_keys_are_as_they_were() {
    let hex = |key: StorageKey| blake3::Hash::from_bytes(*key.as_bytes()).to_hex().to_string();
    let alice = Scope::new("alice");
    let secret = [7; 32];
    let keys = [
        hex(derived("payments", &alice, "order-1001")),
        hex(derived("", &Scope::anonymous(), "order-1001")),
        hex(StorageKey::derive(Some(&secret), "payments", &alice, &key("order-1001"))),
    ];
    assert_eq!(
        keys,
        [
            "a85276163135b1a72e268a95d6def7d572021ae32a27f84c79b9e6c75041538f",
            "4f64f76e2ff9f18cbaadd63240a15dd693417bac47dd5705a314e05199d98214",
            "13e5d8ec1b203ae436bb0117fd35f1f7bca47ddc3276085cb6f4636dd9e39ef4",
        ]
    );
}
