//! TLS by rustls: the cryptography, and errors of certificates.

use std::error::Error;
use std::io;
use std::sync::Arc;

use redis::RedisError;
use rustls::CertificateError;
use rustls::crypto::{CryptoProvider, ring};

use super::place::Trust;

type Shared = Arc<dyn Error + Send + Sync>;

/// Chooses ring for the process, unless the application has chosen. Without a choice rustls panics
/// in a program that contains several providers, because another crate brought one.
pub(super) fn choose_provider() {
    if CryptoProvider::get_default().is_none() {
        // It fails if another thread has chosen meanwhile.
        let _ = ring::default_provider().install_default();
    }
}

/// Why the certificate of the server is rejected, and what to do, behind "the certificate". `None`
/// if it is not.
pub(super) fn untrusted(error: &RedisError, trust: Trust) -> Option<&'static str> {
    // The driver's source is the pointer to the error, not the error.
    let source = error.source().and_then(|source| source.downcast_ref::<Shared>());
    let io = source.and_then(|source| source.downcast_ref::<io::Error>());
    let tls = io.and_then(io::Error::get_ref).and_then(|tls| tls.downcast_ref::<rustls::Error>());
    let Some(rustls::Error::InvalidCertificate(why)) = tls else { return None };
    Some(match why {
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "is one for another host: use a host in the URL that the certificate names"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "has expired: renew it, or correct the clock of this machine"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet: correct the clock of this machine"
        }
        _ if trust == Trust::Given => {
            "is not accepted: only the authorities that the store was given are trusted; add the \
             one that has signed it"
        }
        _ => TRUSTED,
    })
}

const TRUSTED: &str = if cfg!(feature = "redis-tls-rustls-webpki-roots") {
    "is not accepted: the authorities in Mozilla's list are trusted; give one of your own to \
     `RedisStore::server`, as `TlsCertificates::root_cert`"
} else {
    "is not accepted: the authorities of the operating system are trusted, or those in the file \
     that the variable `SSL_CERT_FILE` names; add one of your own there, or give it to \
     `RedisStore::server`, as `TlsCertificates::root_cert`"
};
