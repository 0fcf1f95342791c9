//! What the fuzz targets in `fuzz/` reach in the crate. Not there in any other build.
#![allow(missing_docs, clippy::unwrap_used)]

use http::{Request, header};

use crate::fingerprint::{CanonicalBody, Fingerprint, Fingerprinting, Operation, canonical, parse};

pub use crate::store::fuzzing::record_written_again;

pub fn canonical_json(text: &[u8]) -> Option<Vec<u8>> {
    canonical(&parse(text)?)
}

pub fn fingerprint_of_json(body: &[u8]) -> Fingerprint {
    let request = Request::post("/").header(header::CONTENT_TYPE, "application/json").body(()).unwrap();
    let mut fingerprinting = Fingerprinting::default();
    fingerprinting.rule = Some(CanonicalBody::json().into());
    fingerprinting.of(&Operation::new(&request.into_parts().0, body)).own
}
