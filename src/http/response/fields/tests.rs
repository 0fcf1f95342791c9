#![allow(clippy::unwrap_used)]

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{FRAMING, Lists, OF_ONE_RESPONSE};
use crate::record::outcome::{Outcome, StoredBody};

const NONE: Lists<'static> = Lists { also: &[], only: &[], never: &[] };

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
    let all = Lists { also: &FRAMING, only: &FRAMING, never: &[] };
    assert!(cleaned(all, headers(&FRAMING)).is_empty());
}

#[test]
fn a_list_lets_out_what_it_names_unless_another_drops_it() {
    assert!(cleaned(NONE, headers(&OF_ONE_RESPONSE)).is_empty());
    for (also, only) in [(&OF_ONE_RESPONSE[..1], &[][..]), (&[][..], &OF_ONE_RESPONSE[..1])] {
        let lists = Lists { also, only, never: &[] };
        assert_eq!(cleaned(lists, headers(&OF_ONE_RESPONSE)), ["set-cookie"]);
        let lists = Lists { never: &OF_ONE_RESPONSE[..1], ..lists };
        assert!(cleaned(lists, headers(&OF_ONE_RESPONSE)).is_empty());
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
