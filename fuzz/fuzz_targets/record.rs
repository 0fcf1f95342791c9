//! Every frame that is read as a record or as an audit entry can be written again, and the new frame
//! reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tower_idempotency::fuzzing;
use tower_idempotency::store::Outcome;

/// The length of the fields at fixed places: version, status, token, fingerprint and attempt.
const FIXED: usize = 18 + 33 + 4;

fuzz_target!(|frame: &[u8]| {
    if let Ok(outcome) = Outcome::decode(frame.to_vec().into()) {
        let again = outcome.encode();
        assert!(again.len() <= frame.len());
        assert_eq!(Outcome::decode(again.into()), Ok(outcome));
    }
    if let Some((outcome, again)) = fuzzing::unpacked_twice(frame) {
        // Headers and trailers have a limit of their own.
        assert!(outcome.bytes().len() <= fuzzing::LIMIT + (64 << 10));
        assert_eq!(outcome, again);
    }
    if let Some(again) = fuzzing::record_written_again(frame) {
        assert!(again.len() <= frame.len());
        assert_eq!(again[..FIXED], frame[..FIXED]);
        assert_eq!(fuzzing::record_written_again(&again), Some(again));
    }
    if let Some((seen, settled)) = fuzzing::seen_and_settled(frame) {
        assert_eq!((settled.label, settled.fingerprint), (seen.label, seen.fingerprint));
        assert_eq!(settled.scope, seen.scope);
    }
    if let Some(again) = fuzzing::audit_written_again(frame) {
        assert_eq!(again[..17], frame[..17]);
    }
});
