#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use http::{HeaderName, Response, header};

use super::{StoredParts, StoredResponse};
use crate::record::outcome::StoredBody;

fn stored(settings: &StoredParts, level: StoredResponse) -> Vec<HeaderName> {
    let response = Response::builder()
        .header(header::LOCATION, "/cards/secret-card")
        .header(header::ETAG, "\"secret-tag\"")
        .header(header::CACHE_CONTROL, "no-store")
        .header(header::VARY, "accept")
        .body(())
        .unwrap();
    let body = StoredBody::Whole { bytes: Bytes::from_static(b"secret"), trailers: None };
    settings.outcome(&response, None, body, level).headers.keys().cloned().collect()
}

#[test]
fn a_list_of_headers_to_store_adds_nothing_back_that_a_lower_level_leaves_out() {
    let only = vec![header::LOCATION, header::ETAG, header::VARY];
    let settings = StoredParts { only: Some(only), ..StoredParts::default() };
    assert_eq!(
        stored(&settings, StoredResponse::Full),
        [header::LOCATION, header::ETAG, header::VARY]
    );
    assert_eq!(stored(&settings, StoredResponse::Status), [header::VARY]);
    assert_eq!(stored(&settings, StoredResponse::Nothing), [] as [HeaderName; 0]);

    let settings = StoredParts { also: vec![header::LOCATION], ..settings };
    assert_eq!(stored(&settings, StoredResponse::Status), [header::LOCATION, header::VARY]);
    assert_eq!(stored(&settings, StoredResponse::Nothing), [header::LOCATION]);
}
