//! A JSON Web Key Set (RFC 7517).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Header};
use serde::Deserialize;
use serde_json::Value;

/// How many keys a token is tried with, if several fit. Each costs a verification.
const TRIED: usize = 8;

/// RFC 7518, 3.3.
const SHORTEST_RSA: usize = 2048 / 8;

/// The keys of a set that can verify signatures.
#[derive(Debug)]
pub(crate) struct KeySet(Vec<Key>);

#[derive(Debug)]
struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    public: DecodingKey,
}

impl KeySet {
    /// Leaves out keys of unknown kinds and for other uses. Leaves out secrets too, because everyone
    /// may know what a key set contains.
    ///
    /// # Errors
    ///
    /// If the set contains no key that can verify a signature.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Written {
            keys: Vec<Value>,
        }
        let Ok(Written { keys }) = serde_json::from_slice(text) else {
            return Err("it is not a JSON Web Key Set, {\"keys\": […]}".to_owned());
        };
        let keys: Vec<_> = keys.into_iter().filter_map(Key::new).collect();
        if keys.is_empty() {
            return Err("it contains no public key that can verify tokens".to_owned());
        }
        Ok(Self(keys))
    }

    /// The keys that may have signed a token with this header.
    pub(crate) fn fitting(&self, header: &Header) -> impl Iterator<Item = &DecodingKey> {
        let fits = |key: &&Key| {
            let is_named = header.kid.is_none() || header.kid == key.id;
            is_named && key.algorithms.contains(&header.alg)
        };
        self.0.iter().filter(fits).take(TRIED).map(|key| &key.public)
    }
}

impl Key {
    fn new(written: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(written).ok()?;
        let common = &jwk.common;
        let is_for_signatures =
            common.public_key_use.as_ref().is_none_or(|used| *used == PublicKeyUse::Signature);
        let verifies = common
            .key_operations
            .as_ref()
            .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        if !is_for_signatures || !verifies {
            return None;
        }
        let mut algorithms = algorithms(&jwk.algorithm)?;
        if let Some(only) = common.key_algorithm {
            algorithms.retain(|algorithm| Algorithm::try_from(only).ok() == Some(*algorithm));
        }
        let public = DecodingKey::from_jwk(&jwk).ok()?;
        (!algorithms.is_empty()).then_some(Self { id: jwk.common.key_id, algorithms, public })
    }
}

/// What a key can verify. The library panics over an Ed25519 key that is too short, so lengths are
/// checked here.
fn algorithms(key: &AlgorithmParameters) -> Option<Vec<Algorithm>> {
    let length = |text: &str| URL_SAFE_NO_PAD.decode(text).map_or(0, |bytes| bytes.len());
    match key {
        AlgorithmParameters::RSA(key) if length(&key.n) >= SHORTEST_RSA => {
            Some(AlgorithmFamily::Rsa.algorithms().to_vec())
        }
        AlgorithmParameters::EllipticCurve(key) => {
            match (&key.curve, length(&key.x), length(&key.y)) {
                (EllipticCurve::P256, 32, 32) => Some(vec![Algorithm::ES256]),
                (EllipticCurve::P384, 48, 48) => Some(vec![Algorithm::ES384]),
                _ => None,
            }
        }
        AlgorithmParameters::OctetKeyPair(key)
            if key.curve == EllipticCurve::Ed25519 && length(&key.x) == 32 =>
        {
            Some(vec![Algorithm::EdDSA])
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn b64(length: usize) -> String {
        URL_SAFE_NO_PAD.encode(vec![9; length])
    }

    fn algorithms_of(key: &Value) -> Vec<Algorithm> {
        let text = json!({ "keys": [key] }).to_string();
        let set = KeySet::parse(text.as_bytes());
        set.map_or_else(|_| Vec::new(), |mut set| set.0.remove(0).algorithms)
    }

    #[test]
    fn a_key_verifies_what_fits_it() {
        let ec = |curve: &str, length: usize| json!({ "kty": "EC", "crv": curve, "x": b64(length), "y": b64(length) });
        let with = |mut key: Value, name: &str, value: Value| {
            key[name] = value;
            key
        };
        let rsa = |length: usize| json!({ "kty": "RSA", "n": b64(length), "e": "AQAB" });
        let ed = |length: usize| json!({ "kty": "OKP", "crv": "Ed25519", "x": b64(length) });
        for (key, expected) in [
            (ec("P-256", 32), &[Algorithm::ES256][..]),
            (ec("P-384", 48), &[Algorithm::ES384]),
            (ec("P-256", 48), &[]),
            (with(ec("P-256", 32), "alg", json!("ES256")), &[Algorithm::ES256]),
            (with(ec("P-256", 32), "alg", json!("ES384")), &[]),
            (with(ec("P-256", 32), "alg", json!("HS256")), &[]),
            (with(ec("P-256", 32), "use", json!("enc")), &[]),
            (with(ec("P-256", 32), "key_ops", json!(["sign"])), &[]),
            (with(ec("P-256", 32), "key_ops", json!(["verify"])), &[Algorithm::ES256]),
            (rsa(256), AlgorithmFamily::Rsa.algorithms()),
            (rsa(128), &[]),
            (with(rsa(256), "alg", json!("PS256")), &[Algorithm::PS256]),
            (with(rsa(256), "alg", json!("RSA-OAEP")), &[]),
            (ed(32), &[Algorithm::EdDSA]),
            (ed(31), &[]),
            (json!({ "kty": "oct", "k": b64(32), "alg": "HS256" }), &[]),
            (json!({ "kty": "AKP", "alg": "ML-DSA-44", "pub": "AA" }), &[]),
            (json!({ "kty": "EC" }), &[]),
            (json!("a key"), &[]),
        ] {
            assert_eq!(algorithms_of(&key), expected, "{key}");
        }
    }

    #[test]
    fn a_set_without_a_usable_key_is_an_error() {
        for wrong in ["", "{}", "[]", "{\"keys\": []}", "{\"keys\": 1}", "<html>"] {
            assert!(KeySet::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
