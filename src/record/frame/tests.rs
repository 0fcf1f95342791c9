#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use proptest::prelude::*;

use super::{DecodeError, Reader, Writer, digits};

fn written(number: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    Writer::new(&mut frame).number(number);
    frame
}

proptest! {
    #[test]
    fn a_number_that_was_written_is_read(number: usize) {
        let mut reader = Reader::new(written(number).into());
        prop_assert_eq!(reader.number(), Ok(number));
        prop_assert!(reader.rest().is_empty());
    }
}

#[test]
fn numbers_grow_a_byte_with_every_seven_bits() {
    for (number, length) in [(0, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (usize::MAX, 10)]
    {
        assert_eq!((written(number).len(), digits(number)), (length, length), "{number}");
        assert_eq!(Reader::new(written(number).into()).number(), Ok(number));
    }
}

#[test]
fn a_number_that_does_not_fit_is_rejected_and_not_cut() {
    let mut too_large = written(usize::MAX);
    *too_large.last_mut().unwrap() = 0x02;
    assert_eq!(Reader::new(too_large.into()).number(), Err(DecodeError));

    let endless = Bytes::from_static(&[0x80; 32]);
    assert_eq!(Reader::new(endless).number(), Err(DecodeError));
}

#[test]
fn no_more_is_taken_than_there_is() {
    let mut reader = Reader::new(Bytes::from_static(b"\x03abc\x02d"));
    assert_eq!(reader.sized().unwrap(), "abc");
    assert_eq!(reader.sized(), Err(DecodeError));
    assert_eq!(reader.take(2), Err(DecodeError));
    assert_eq!(reader.take(1).unwrap(), "d");
    assert_eq!(reader.byte(), Err(DecodeError));
}
