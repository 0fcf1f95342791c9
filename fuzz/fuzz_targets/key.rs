//! Every accepted value is a valid key, and all spellings of it are the same key.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tower_idempotency::IdempotencyKey;

fuzz_target!(|value: &[u8]| {
    let lenient = IdempotencyKey::parse(value);
    let strict = IdempotencyKey::parse_strict(value);
    for key in [&lenient, &strict].into_iter().flatten() {
        let text = key.as_str();
        assert!((1..=IdempotencyKey::MAX_LEN).contains(&text.len()));
        assert!(text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '));

        let quoted = format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        assert_eq!(IdempotencyKey::parse_strict(quoted.as_bytes()).as_ref(), Ok(key));
        // Only strict mode accepts spaces.
        if text.contains(' ') {
            assert!(IdempotencyKey::parse(quoted.as_bytes()).is_err());
            continue;
        }
        assert_eq!(IdempotencyKey::parse(quoted.as_bytes()).as_ref(), Ok(key));
        if !text.starts_with('"') {
            assert_eq!(IdempotencyKey::parse(text.as_bytes()).as_ref(), Ok(key));
        }
    }
    if let (Ok(lenient), Ok(strict)) = (lenient, strict) {
        assert_eq!(lenient, strict);
    }
});
