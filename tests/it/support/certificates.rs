//! A certificate authority, and a server's certificate that it has signed.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// Each in PEM.
pub(crate) struct Certificates {
    pub(crate) authority: String,
    pub(crate) server: String,
    pub(crate) server_key: String,
}

impl Certificates {
    /// For a server at 127.0.0.1, which is also `localhost`.
    pub(crate) fn made() -> Self {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = authority.self_signed(&key).unwrap();
        let issuer = Issuer::new(authority, key);

        let server_key = KeyPair::generate().unwrap();
        let names = ["127.0.0.1", "localhost"].map(str::to_owned);
        let server = CertificateParams::new(names).unwrap().signed_by(&server_key, &issuer);
        Self {
            authority: certificate.pem(),
            server: server.unwrap().pem(),
            server_key: server_key.serialize_pem(),
        }
    }
}
