#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::{MOST_VALUES, content};
use crate::record::fingerprint::{CanonicalBody, JsonPointer};

fn same(rule: &CanonicalBody, one: &str, other: &str) -> bool {
    content(one.as_bytes(), rule).unwrap() == content(other.as_bytes(), rule).unwrap()
}

fn pointer(pointer: &str) -> JsonPointer {
    JsonPointer::new(pointer).unwrap()
}

#[test]
fn the_order_of_fields_and_how_bytes_are_escaped_do_not_count() {
    let rule = CanonicalBody::form();
    let one = "to=acct+2&amount=1200&tag=a&tag=b";
    assert!(same(&rule, one, "tag=a&amount=%31200&tag=b&t%6f=acct%202"));
    for other in [
        "to=acct+2&amount=1200&tag=b&tag=a",
        "to=acct+2&amount=1200&tag=a",
        "to=acct+2&amount=1200&tag=a&tag=b&tag=b",
        "to=acct%2B2&amount=1200&tag=a&tag=b",
        "to=1200&amount=acct+2&tag=a&tag=b",
        "to=acct+2&amount=1200&tag=a%26tag%3Db",
        "",
    ] {
        assert!(!same(&rule, one, other), "{other}");
    }
}

#[test]
fn the_order_counts_where_readers_make_items_of_it() {
    let one = "item[][to]=acct_2&item[][amount]=1&item[][to]=acct_3&item[][amount]=9";
    let other = "item[][to]=acct_2&item[][to]=acct_3&item[][amount]=1&item[][amount]=9";
    let only = ["/item[][to]", "/item[][amount]"].map(pointer);
    for rule in [CanonicalBody::form(), CanonicalBody::form().only(only)] {
        assert!(!same(&rule, one, other));
        assert!(same(&rule, one, &one.replace("[]", "%5B%5D")));
    }
    assert!(same(&CanonicalBody::form(), "item[to]=2&item[amount]=1", "item[amount]=1&item[to]=2"));
}

#[test]
fn fields_are_ignored_and_chosen_by_their_names() {
    let ignoring = CanonicalBody::form().ignore(pointer("/nonce")).ignore(pointer("/a~1b/0"));
    assert!(same(&ignoring, "nonce=1&a=2&nonce=3", "a=2"));
    assert!(!same(&ignoring, "Nonce=1&a=2", "a=2"));
    assert!(!same(&ignoring, "a/b=1&a=2", "a=2"), "a field has no places within");

    let only = CanonicalBody::form().only([pointer("/a"), pointer("/b")]);
    assert!(same(&only, "b=2&a=1&c=3", "a=1&b=2"));
    for other in ["a=1", "a=1&b=", "a=2&b=1", "a=1&b=2&b=2", "a=1&a=2"] {
        assert!(!same(&only, "a=1&b=2", other), "{other}");
    }
}

#[test]
fn what_two_readers_may_decode_differently_counts_by_its_bytes() {
    for body in ["a=%", "a=%4", "a=%zz", "a=%ff", "a=%c3", "%ef%bf%bd=1", "a=\u{fffd}"] {
        assert_eq!(content(body.as_bytes(), &CanonicalBody::form()), None, "{body}");
    }
    assert_eq!(content(b"a=\xff", &CanonicalBody::form()), None);
    assert!(content("a=é&b=%C3%A9".as_bytes(), &CanonicalBody::form()).is_some());
}

#[test]
fn more_fields_than_the_budget_count_by_their_bytes() {
    for unit in ["a", "a=1", ""] {
        let form = |fields: usize| vec![unit; fields].join("&");
        assert!(content(form(MOST_VALUES).as_bytes(), &CanonicalBody::form()).is_some(), "{unit}");
        assert_eq!(
            content(form(MOST_VALUES + 1).as_bytes(), &CanonicalBody::form()),
            None,
            "{unit}"
        );
    }
}

fn fields() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec(("[ab=&é]{0,2}", "[ab=&% +]{0,2}"), 0..4)
}

/// The content of a form: the values of each name, in order.
fn said(fields: &[(String, String)]) -> Vec<(String, String)> {
    let mut said = fields.to_vec();
    said.sort_by(|(one, _), (other, _)| one.cmp(other));
    said
}

proptest! {
    #[test]
    fn two_forms_are_the_same_only_if_they_say_the_same(one in fields(), other in fields(), by: usize) {
        let form = |fields: &[(String, String)]| {
            let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
            content(body.as_bytes(), &CanonicalBody::form()).unwrap()
        };
        prop_assert_eq!(form(&one) == form(&other), said(&one) == said(&other));
        let mut turned = one.clone();
        turned.rotate_left(by % one.len().max(1));
        prop_assert_eq!(form(&one) == form(&turned), said(&one) == said(&turned));
    }
}
