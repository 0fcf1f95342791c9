//! TLS by rustls: the cryptography, and errors of certificates.

use std::error::Error;
use std::io;
use std::sync::Arc;

use redis::RedisError;
use rustls::crypto::{CryptoProvider, ring};

type Shared = Arc<dyn Error + Send + Sync>;

/// Chooses ring for the process, unless the application has chosen. Without a choice rustls panics
/// in a program that contains several providers, because another crate brought one.
pub(super) fn choose_provider() {
    if CryptoProvider::get_default().is_none() {
        // It fails if another thread has chosen meanwhile.
        let _ = ring::default_provider().install_default();
    }
}

/// Whether the certificate of the server was rejected.
pub(super) fn is_untrusted(error: &RedisError) -> bool {
    // The driver's source is the pointer to the error, not the error.
    let source = error.source().and_then(|source| source.downcast_ref::<Shared>());
    let io = source.and_then(|source| source.downcast_ref::<io::Error>());
    let tls = io.and_then(io::Error::get_ref).and_then(|tls| tls.downcast_ref::<rustls::Error>());
    matches!(tls, Some(rustls::Error::InvalidCertificate(_)))
}
