//! Keys of 32 bytes.

use std::path::Path;

use tower_idempotency::EncryptionKeys;

use crate::file::{At, Beside, File, Problem, Secret};

/// The keys of all layers.
#[derive(Clone)]
pub(super) struct Secrets {
    /// For digests of keys, scopes and bodies.
    pub(super) digests: Option<[u8; 32]>,
    pub(super) responses: Option<EncryptionKeys>,
}

impl Secrets {
    /// Notes the files that it reads. Relative paths begin in `folder`.
    pub(super) fn read(file: &File, folder: &Path, beside: &mut Beside) -> Result<Self, Problem> {
        let digests = file.secret.as_ref().map(|secret| key(secret, folder, beside)).transpose()?;
        let mut responses: Option<EncryptionKeys> = None;
        for (text, number) in file.encryption_keys.iter().zip(1..) {
            let key = key(text, folder, beside)?;
            responses = Some(match responses {
                None => EncryptionKeys::new(id(&key), key),
                Some(ring) => ring
                    .reading(id(&key), key)
                    .map_err(|_| text.problem(format!("key {number} is in the list twice")))?,
            });
        }
        Ok(Self { digests, responses })
    }
}

/// A key that is written as 64 hexadecimal digits.
fn key(secret: &At<Secret>, folder: &Path, beside: &mut Beside) -> Result<[u8; 32], Problem> {
    if let Some(file) = secret.value.file() {
        beside.note(folder.join(file));
    }
    let text = secret.value.read(folder).map_err(|why| secret.problem(why))?;
    bytes(&text)
        .ok_or_else(|| secret.problem("a key has 64 hexadecimal digits: openssl rand -hex 32"))
}

fn bytes(digits: &str) -> Option<[u8; 32]> {
    let digits = digits.trim().as_bytes();
    let mut key = [0; 32];
    if digits.len() != 2 * key.len() {
        return None;
    }
    for (byte, pair) in key.iter_mut().zip(digits.chunks(2)) {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| !pair.starts_with('+'))?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(key)
}

/// The number of a key in the store. It follows from the key, so that the order of the list can
/// change.
fn id(key: &[u8; 32]) -> u32 {
    let digest = blake3::derive_key("tower-idempotency-gateway number of an encryption key", key);
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_64_digits() {
        assert_eq!(bytes(&format!("{}\n", "0a".repeat(32))), Some([10; 32]));
        for wrong in ["", "0a", &"zz".repeat(32), &"+1".repeat(32), &"0a".repeat(33)] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_number_of_a_key_is_its_own() {
        assert_ne!(id(&[1; 32]), id(&[2; 32]));
    }
}
