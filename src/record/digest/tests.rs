#![allow(clippy::unwrap_used)]

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Framed, SMALL};
use crate::record::frame::Reader;

/// Short fields of few different bytes, including the bytes that encode lengths: near misses.
fn fields() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let byte = prop::sample::select(vec![0_u8, 1, 2, 3, b'a']);
    vec(vec(byte, 0..4), 0..5)
}

fn framed(fields: &[Vec<u8>]) -> Framed {
    let mut framed = Framed::new("label");
    for field in fields {
        framed.field(field);
    }
    framed
}

/// Reads all fields from the digest input.
fn read_back(input: &[u8]) -> Vec<Vec<u8>> {
    let mut fields = Vec::new();
    let mut rest = bytes::Bytes::copy_from_slice(input);
    while !rest.is_empty() {
        let mut reader = Reader::new(rest);
        fields.push(reader.sized().unwrap().to_vec());
        rest = reader.rest();
    }
    assert_eq!(fields.remove(0), b"label");
    fields
}

proptest! {
    #[test]
    fn what_is_digested_can_be_read_back_to_the_same_fields(fields in fields()) {
        let framed = framed(&fields);
        prop_assert_eq!(read_back(&framed.0), fields);
        let input = framed.0.clone();
        prop_assert_eq!(framed.finish(None), blake3::hash(&input));
    }

    #[test]
    fn content_is_separate_from_the_fields_after_it(
        fields in fields(),
        content in prop_oneof![vec(any::<u8>(), 0..20), vec(any::<u8>(), SMALL - 1..SMALL + 2)],
    ) {
        let framed = framed(&fields);
        let input = [&content, &framed.0, &(content.len() as u64).to_le_bytes()[..]].concat();
        prop_assert_eq!(framed.finish_behind(&content, None), blake3::hash(&input));

        let (rest, length) = input.split_last_chunk().unwrap();
        let (read, rest) = rest.split_at(usize::try_from(u64::from_le_bytes(*length)).unwrap());
        prop_assert_eq!(read, content);
        prop_assert_eq!(read_back(rest), fields);
    }

    #[test]
    fn different_lists_have_different_digests(one in fields(), other in fields()) {
        let same = framed(&one).finish(None) == framed(&other).finish(None);
        prop_assert_eq!(same, one == other);
    }
}

#[test]
fn a_secret_and_a_label_make_another_digest() {
    let digest = |label, secret: Option<&[u8; 32]>| Framed::new(label).finish(secret);
    assert_ne!(digest("a", None), digest("b", None));
    assert_ne!(digest("a", None), digest("a", Some(&[0; 32])));
    assert_ne!(digest("a", Some(&[1; 32])), digest("a", Some(&[0; 32])));
    let behind = |secret: Option<&[u8; 32]>| Framed::new("a").finish_behind(b"content", secret);
    assert_ne!(behind(None), behind(Some(&[0; 32])));
    assert_ne!(behind(Some(&[1; 32])), behind(Some(&[0; 32])));
}
