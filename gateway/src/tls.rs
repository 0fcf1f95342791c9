//! TLS on both sides.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::file::{Beside, Tls};

/// HTTP/2 by ALPN.
pub(crate) const H2: &[u8] = b"h2";
const HTTP_1: &[u8] = b"http/1.1";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// How an upstream's certificate is checked: against these certificates, or the system's.
///
/// # Errors
///
/// A text that says what to correct.
pub(crate) fn towards_upstreams(ca: Option<&Path>) -> Result<ClientConfig, String> {
    let roots = ca.map_or_else(|| Ok(system_roots()), roots_in)?;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// The side of the gateway in its connections with clients. Relative paths begin in `folder`. Notes
/// the files that it reads.
///
/// # Errors
///
/// A text that says what to correct.
pub(crate) fn towards_clients(
    tls: &Tls,
    folder: &Path,
    beside: &mut Beside,
) -> Result<Arc<ServerConfig>, String> {
    let [certificate, key] = [&tls.certificate, &tls.key].map(|file| folder.join(file));
    let ca = tls.client_ca.as_ref().map(|file| folder.join(file));
    for file in [Some(&certificate), Some(&key), ca.as_ref()].into_iter().flatten() {
        beside.note(file.clone());
    }
    let chain = certificates(&certificate)?;
    let secret = PrivateKeyDer::from_pem_file(&key).map_err(|error| wrong(&key, &error))?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match &ca {
        None if tls.require_client_certificate => {
            return Err("`require_client_certificate` needs `client_ca`, the file with the \
                        certificates that clients' ones are checked against"
                .to_owned());
        }
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots_in(ca)?), provider());
            let verifier = if tls.require_client_certificate {
                verifier
            } else {
                verifier.allow_unauthenticated()
            };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| wrong(ca, &error))?)
        }
    };
    let mut config = builder
        .with_single_cert(chain, secret)
        .map_err(|error| format!("{} and {}: {error}", certificate.display(), key.display()))?;
    config.alpn_protocols = vec![H2.to_vec(), HTTP_1.to_vec()];
    if ca.is_some() {
        // A resumed session would not check again whether the client's certificate has expired.
        config.session_storage = Arc::new(NoServerSessionStorage {});
    }
    Ok(Arc::new(config))
}

fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn roots_in(file: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|error| wrong(file, &error))?;
    }
    Ok(roots)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(file, &error))?;
    if found.is_empty() {
        return Err(wrong(file, &"the file contains no certificate"));
    }
    Ok(found)
}

fn wrong(file: &Path, error: &dyn Display) -> String {
    format!("{}: {error}", file.display())
}
