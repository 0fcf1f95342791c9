//! The secret of a layer, and the keys derived from it. Their memory is wiped when it is freed.

use std::fmt;
use std::ops::Deref;

use zeroize::{Zeroize, Zeroizing};

/// 32 bytes that no log may show.
pub(crate) struct SecretKey(Zeroizing<[u8; 32]>);

impl SecretKey {
    pub(crate) fn new(mut secret: [u8; 32]) -> Self {
        let key = Self(Zeroizing::new(secret));
        secret.zeroize();
        key
    }

    /// Derives a key for a single purpose. The output of one derived key reveals nothing about the
    /// others.
    pub(crate) fn derive(&self, purpose: &'static str) -> Self {
        Self(Zeroizing::new(blake3::derive_key(purpose, &self[..])))
    }
}

impl Deref for SecretKey {
    type Target = [u8; 32];

    fn deref(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}
