#![allow(clippy::unwrap_used)]

use super::*;

const DIALECT: Dialect = Dialect {
    now: "now",
    bytes: |number| format!("?{number}"),
    text: |number| format!("?{number}"),
    ago: |number| format!("ago(?{number})"),
    time: |number| format!("time(?{number})"),
    is_time: |text| text.starts_with("2026-11-28 "),
};

fn listing(filter: ListFilter) -> Listing {
    Listing::of(&ListRequest::new(filter), &DIALECT).unwrap()
}

#[test]
fn digits_are_a_range_of_keys() {
    let padded = |begin: &[u8]| [begin, &[0; 32]].concat()[..32].to_vec();
    for (digits, first, behind) in [
        ("", &[][..], None),
        ("3fc82ec1", &[0x3f, 0xc8, 0x2e, 0xc1], Some(vec![0x3f, 0xc8, 0x2e, 0xc2])),
        ("3f7", &[0x3f, 0x70], Some(vec![0x3f, 0x80])),
        ("3ff", &[0x3f, 0xf0], Some(vec![0x40])),
        ("ff", &[0xff], None),
    ] {
        let (from, to) = range(digits).unwrap();
        assert_eq!(from, padded(first), "{digits}");
        // The last key with the digits ends with `ff`, so what follows it is short.
        assert_eq!(to, behind, "{digits}");
    }
    for no_digits in ["g", "3F", "%", "+1", "\u{e9}", &"0".repeat(65)] {
        assert_eq!(range(no_digits), None, "{no_digits}");
    }
}

#[test]
fn no_text_of_an_operator_is_in_the_statement() {
    let text = "'; DROP TABLE payments";
    let filter = ListFilter::new().route(text.to_owned()).namespace(text.to_owned());
    let listing = listing(filter.digits(text.to_owned()));
    assert!(!listing.text.contains("DROP"), "{}", listing.text);
    let text = || ListValue::Text(text.to_owned());
    assert_eq!(listing.values, [text(), text()]);
}

#[test]
fn each_state_but_success_can_use_the_index_for_operators() {
    for state in StateFilter::ALL {
        let text = listing(ListFilter::new().state(state)).text;
        assert_eq!(text.contains(INDEXED), state != StateFilter::Success, "{state}");
    }
}

#[test]
fn a_cursor_of_another_store_is_rejected() {
    let key = StorageKey::from_bytes([7; 32]);
    let next = cursor("2026-11-28 14:29:34.123", &key);
    assert!(!next.as_str().contains(' '));
    assert_eq!(place(&next, &DIALECT).unwrap(), ("2026-11-28 14:29:34.123".to_owned(), key));
    for other in ["", "7", "-07", "now()-00", &format!("x-{}", key.to_hex()), &key.to_hex()] {
        let error = place(&Cursor::new(other), &DIALECT).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Rejected, "{other}");
    }
}
