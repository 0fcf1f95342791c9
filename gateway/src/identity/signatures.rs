//! Signatures of tokens, verified by ring, which TLS is linked with already.

#![allow(clippy::trivially_copy_pass_by_ref, reason = "the library has these signatures")]

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::signature::{Error, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::signature::{
    self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Has all tokens of this process verified here.
pub(super) fn install() {
    // A second time changes nothing.
    let _ = PROVIDER.install_default();
}

/// A gateway signs nothing.
#[cfg(not(test))]
fn signer(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    Err(ErrorKind::InvalidAlgorithm.into())
}

/// Its tests do.
#[cfg(test)]
fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    (jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER.signer_factory)(algorithm, key)
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    let (family, rule) = rule(*algorithm).ok_or(ErrorKind::InvalidAlgorithm)?;
    if key.family() != family {
        return Err(ErrorKind::InvalidKeyFormat.into());
    }
    Ok(Box::new(Public { algorithm: *algorithm, rule, key: key.clone() }))
}

/// How the signatures of an algorithm are verified. `None`: with a secret, which a public key must
/// never be taken for.
fn rule(algorithm: Algorithm) -> Option<(AlgorithmFamily, Rule)> {
    Some(match algorithm {
        Algorithm::ES256 => (AlgorithmFamily::Ec, Rule::Point(&signature::ECDSA_P256_SHA256_FIXED)),
        Algorithm::ES384 => (AlgorithmFamily::Ec, Rule::Point(&signature::ECDSA_P384_SHA384_FIXED)),
        Algorithm::EdDSA => (AlgorithmFamily::Ed, Rule::Point(&signature::ED25519)),
        Algorithm::RS256 => {
            (AlgorithmFamily::Rsa, Rule::Rsa(&signature::RSA_PKCS1_2048_8192_SHA256))
        }
        Algorithm::RS384 => {
            (AlgorithmFamily::Rsa, Rule::Rsa(&signature::RSA_PKCS1_2048_8192_SHA384))
        }
        Algorithm::RS512 => {
            (AlgorithmFamily::Rsa, Rule::Rsa(&signature::RSA_PKCS1_2048_8192_SHA512))
        }
        Algorithm::PS256 => (AlgorithmFamily::Rsa, Rule::Rsa(&signature::RSA_PSS_2048_8192_SHA256)),
        Algorithm::PS384 => (AlgorithmFamily::Rsa, Rule::Rsa(&signature::RSA_PSS_2048_8192_SHA384)),
        Algorithm::PS512 => (AlgorithmFamily::Rsa, Rule::Rsa(&signature::RSA_PSS_2048_8192_SHA512)),
        _ => return None,
    })
}

#[derive(Clone, Copy)]
enum Rule {
    Point(&'static dyn VerificationAlgorithm),
    Rsa(&'static RsaParameters),
}

/// A public key, and the algorithm that it is used with.
struct Public {
    algorithm: Algorithm,
    rule: Rule,
    key: DecodingKey,
}

impl JwtVerifier for Public {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for Public {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        let verified = match (self.rule, self.key.kind()) {
            (Rule::Rsa(rule), DecodingKeyKind::RsaModulusExponent { n, e }) => {
                RsaPublicKeyComponents { n, e }.verify(rule, message, signature)
            }
            (Rule::Point(rule), DecodingKeyKind::SecretOrDer(point)) => {
                UnparsedPublicKey::new(rule, point).verify(message, signature)
            }
            // Keys of a set have their modulus and exponent.
            (Rule::Rsa(_), DecodingKeyKind::SecretOrDer(_))
            | (Rule::Point(_), DecodingKeyKind::RsaModulusExponent { .. }) => {
                return Err(Error::new());
            }
        };
        verified.map_err(|_| Error::new())
    }
}
