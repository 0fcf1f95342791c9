#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use http::{HeaderName, Response, header};

use super::{Kept, StoredResponse};
use crate::record::outcome::StoredBody;

fn kept(settings: &Kept, keep: StoredResponse) -> Vec<HeaderName> {
    let response = Response::builder()
        .header(header::LOCATION, "/cards/secret-card")
        .header(header::ETAG, "\"secret-tag\"")
        .header(header::CACHE_CONTROL, "no-store")
        .header(header::VARY, "accept")
        .body(())
        .unwrap();
    let body = StoredBody::Whole { bytes: Bytes::from_static(b"secret"), trailers: None };
    settings.outcome(&response, None, body, keep).headers.keys().cloned().collect()
}

#[test]
fn a_list_of_headers_to_keep_brings_nothing_back_that_less_than_all_leaves_out() {
    let only = vec![header::LOCATION, header::ETAG, header::VARY];
    let settings = Kept { only: Some(only), ..Kept::default() };
    assert_eq!(kept(&settings, StoredResponse::Full), [header::LOCATION, header::ETAG, header::VARY]);
    assert_eq!(kept(&settings, StoredResponse::Status), [header::VARY]);
    assert_eq!(kept(&settings, StoredResponse::Nothing), [] as [HeaderName; 0]);

    let settings = Kept { also: vec![header::LOCATION], ..settings };
    assert_eq!(kept(&settings, StoredResponse::Status), [header::LOCATION, header::VARY]);
    assert_eq!(kept(&settings, StoredResponse::Nothing), [header::LOCATION]);
}
