//! Whatever is read as a record is written again as one that reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tower_idempotency::fuzzing;
use tower_idempotency::store::Outcome;

/// Version, status, token, fingerprint and attempt, which stand at fixed places.
const FIXED: usize = 18 + 33 + 4;

fuzz_target!(|frame: &[u8]| {
    if let Ok(outcome) = Outcome::decode(frame.to_vec().into()) {
        let again = outcome.encode();
        assert!(again.len() <= frame.len());
        assert_eq!(Outcome::decode(again.into()), Ok(outcome));
    }
    if let Some((outcome, again)) = fuzzing::unpacked_twice(frame) {
        // Headers and trailers have room of their own.
        assert!(outcome.bytes().len() <= fuzzing::LIMIT + (64 << 10));
        assert_eq!(outcome, again);
    }
    if let Some(again) = fuzzing::record_written_again(frame) {
        assert!(again.len() <= frame.len());
        assert_eq!(again[..FIXED], frame[..FIXED]);
        assert_eq!(fuzzing::record_written_again(&again), Some(again));
    }
});
