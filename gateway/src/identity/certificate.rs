//! The caller whom a client certificate names.

use rustls_pki_types::CertificateDer;
use tower_idempotency::Scope;
use webpki::EndEntityCert;

/// Tells this kind of caller from the values of headers and claims.
const KIND: &[u8] = b"client certificate";

/// The caller of a certificate that was verified. The issuer and the subject identify the caller,
/// so a renewed certificate stays the same one.
///
/// A certificate without a subject is known by its DNS and URI names, as Istio and SPIFFE use them.
/// `None`: the certificate names nothing that can be compared.
pub(crate) fn caller(certificate: &CertificateDer<'_>) -> Option<Scope> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    let mut fields = vec![KIND, certificate.issuer()];
    if !certificate.subject().is_empty() {
        fields.extend([&b"subject"[..], certificate.subject()]);
        return Some(Scope::new(super::framed(&fields)));
    }
    let mut names: Vec<_> =
        certificate.valid_dns_names().chain(certificate.valid_uri_names()).collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return None;
    }
    fields.push(b"names");
    fields.extend(names.into_iter().map(str::as_bytes));
    Some(Scope::new(super::framed(&fields)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};

    use super::*;

    fn issuer(name: &str) -> Issuer<'static, KeyPair> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Issuer::new(params, KeyPair::generate().unwrap())
    }

    fn certificate(
        issuer: &Issuer<'static, KeyPair>,
        subject: Option<&str>,
        uri: Option<&str>,
    ) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(subject) = subject {
            params.distinguished_name.push(DnType::CommonName, subject);
        }
        params.subject_alt_names =
            uri.into_iter().map(|uri| SanType::URI(uri.try_into().unwrap())).collect();
        params.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap().der().clone()
    }

    #[test]
    fn a_renewed_certificate_is_the_same_caller() {
        let issuer = issuer("ca");
        let first = certificate(&issuer, Some("shop"), None);
        let renewed = certificate(&issuer, Some("shop"), Some("spiffe://a/shop"));
        assert_ne!(first, renewed);
        assert!(caller(&first).is_some());
        assert_eq!(caller(&first), caller(&renewed));
    }

    #[test]
    fn another_subject_or_issuer_is_another_caller() {
        let (one, other) = (issuer("ca"), issuer("other ca"));
        let shop = caller(&certificate(&one, Some("shop"), None));
        assert_ne!(shop, caller(&certificate(&one, Some("till"), None)));
        assert_ne!(shop, caller(&certificate(&other, Some("shop"), None)));
    }

    #[test]
    fn a_certificate_without_a_subject_is_known_by_its_names() {
        let issuer = issuer("ca");
        let shop = caller(&certificate(&issuer, None, Some("spiffe://a/shop")));
        assert!(shop.is_some());
        assert_eq!(shop, caller(&certificate(&issuer, None, Some("spiffe://a/shop"))));
        assert_ne!(shop, caller(&certificate(&issuer, None, Some("spiffe://a/till"))));
        assert_eq!(caller(&certificate(&issuer, None, None)), None);
    }
}
