//! Certificates and tokens.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, PublicKeyData,
    date_time_ymd,
};
use serde_json::{Value, json};

/// An authority for certificates.
pub struct Authority {
    issuer: rcgen::Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A certificate and its key.
#[derive(Debug, Clone)]
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: rcgen::Issuer::new(params, key), pem }
    }

    pub fn server(&self) -> Identity {
        self.sign(&CertificateParams::new(["127.0.0.1".to_owned()]).unwrap())
    }

    pub fn client(&self, name: &str) -> Identity {
        self.sign(&named(name))
    }

    /// A certificate that is over.
    pub fn expired_client(&self, name: &str) -> Identity {
        let mut params = named(name);
        params.not_after = date_time_ymd(2020, 1, 1);
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Identity { certificate, key: key.serialize_pem() }
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// A key that signs tokens.
pub struct Signer {
    id: &'static str,
    key: KeyPair,
}

impl Signer {
    pub fn new(id: &'static str) -> Self {
        Self { id, key: KeyPair::generate().unwrap() }
    }

    /// A set with this key alone.
    pub fn set(&self) -> String {
        let point = self.key.der_bytes();
        let [x, y] = [&point[1..33], &point[33..]].map(|part| URL_SAFE_NO_PAD.encode(part));
        let key = json!({ "kty": "EC", "crv": "P-256", "kid": self.id, "x": x, "y": y });
        json!({ "keys": [key] }).to_string()
    }

    /// A valid token, but for these claims.
    pub fn token(&self, changes: &[(&str, Value)]) -> String {
        self.token_with(Algorithm::ES256, changes)
    }

    pub fn token_with(&self, algorithm: Algorithm, changes: &[(&str, Value)]) -> String {
        let mut header = Header::new(algorithm);
        header.kid = Some(self.id.to_owned());
        let key = match algorithm {
            // What an attacker has: the public key.
            Algorithm::HS256 => EncodingKey::from_secret(self.set().as_bytes()).unwrap(),
            _ => EncodingKey::from_ec_der(&self.key.serialize_der()),
        };
        jsonwebtoken::encode(&header, &claims(changes), &key).unwrap()
    }
}

/// A token without a signature.
pub fn unsigned(changes: &[(&str, Value)]) -> String {
    let [header, claims] = [json!({ "alg": "none" }), claims(changes)]
        .map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    format!("{header}.{claims}.")
}

fn claims(changes: &[(&str, Value)]) -> Value {
    let exp = jsonwebtoken::get_current_timestamp() + 600;
    let mut claims = json!({ "sub": "ana", "iss": "https://a", "aud": "shop", "exp": exp });
    for (name, value) in changes {
        claims[*name] = value.clone();
    }
    claims
}
