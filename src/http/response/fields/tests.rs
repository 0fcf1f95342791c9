#![allow(clippy::unwrap_used)]

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{FRAMING, Lists, OF_ONE_RESPONSE};
use crate::http::rejection::SHOULD_RETRY;
use crate::http::response::{BODY, ORIGINAL_REQUEST_ID, REQUEST_ID, RESULT};
use crate::record::outcome::{Outcome, StoredBody};

const NONE: Lists<'static> = Lists { also: &[], only: &[], never: &[] };

fn names(list: &[&'static str]) -> Vec<HeaderName> {
    list.iter().map(|name| HeaderName::from_static(name)).collect()
}

fn headers<'a>(names: impl IntoIterator<Item = &'a HeaderName>) -> HeaderMap {
    names.into_iter().map(|name| (name.clone(), HeaderValue::from_static("1"))).collect()
}

fn cleaned(lists: Lists<'_>, headers: HeaderMap) -> Vec<String> {
    let mut outcome = Outcome { headers, ..Outcome::new(StatusCode::OK, StoredBody::Omitted) };
    lists.clean(&mut outcome);
    outcome.headers.keys().map(ToString::to_string).collect()
}

#[test]
fn no_list_lets_framing_out_of_a_record() {
    let framing = names(&FRAMING);
    let all = Lists { also: &framing, only: &framing, never: &[] };
    assert!(cleaned(all, headers(&framing)).is_empty());
}

#[test]
fn a_header_of_the_layer_is_framing() {
    for name in [RESULT, BODY, REQUEST_ID, ORIGINAL_REQUEST_ID, SHOULD_RETRY] {
        assert!(FRAMING.contains(&name.as_str()), "{name}");
    }
}

#[test]
fn a_list_lets_out_what_it_names_unless_another_drops_it() {
    let listed = names(&OF_ONE_RESPONSE);
    assert!(cleaned(NONE, headers(&listed)).is_empty());
    for (also, only) in [(&listed[..1], &[][..]), (&[][..], &listed[..1])] {
        let lists = Lists { also, only, never: &[] };
        assert_eq!(cleaned(lists, headers(&listed)), ["set-cookie"]);
        let lists = Lists { never: &listed[..1], ..lists };
        assert!(cleaned(lists, headers(&listed)).is_empty());
    }
}

#[test]
fn what_connection_names_goes_with_it_and_several_values_stay_in_order() {
    let mut given = HeaderMap::new();
    for (name, value) in [
        ("connection", "close, X-One"),
        ("connection", "x-two"),
        ("x-one", "1"),
        ("x-two", "2"),
        ("link", "b"),
        ("link", "a"),
        ("link", "b"),
    ] {
        given.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let mut outcome =
        Outcome { headers: given, ..Outcome::new(StatusCode::OK, StoredBody::Omitted) };
    NONE.clean(&mut outcome);
    assert_eq!(outcome.headers.keys_len(), 1);
    assert!(
        outcome
            .headers
            .get_all("link")
            .iter()
            .eq(["b", "a", "b"].map(HeaderValue::from_static).iter())
    );
}
