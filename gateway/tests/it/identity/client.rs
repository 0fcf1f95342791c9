//! A client of the gateway.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, StatusCode, Version};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client as Pool, Error};
use hyper_util::rt::TokioExecutor;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::authority::{Authority, Identity};

pub struct Client(Pool<HttpsConnector<HttpConnector>, Full<Bytes>>);

#[derive(Debug)]
pub struct Response {
    pub status: StatusCode,
    pub version: Version,
    pub headers: HeaderMap,
    pub text: String,
}

impl Client {
    /// One without TLS.
    pub fn plain() -> Self {
        Self::new(config(&RootCertStore::empty(), None))
    }

    /// One that speaks HTTP/2 without TLS.
    pub fn plain_http2() -> Self {
        let config = config(&RootCertStore::empty(), None);
        let builder = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http();
        let connector = builder.enable_http2().build();
        Self(Pool::builder(TokioExecutor::new()).http2_only(true).build(connector))
    }

    /// One that trusts an authority. With a certificate it shows it.
    pub fn trusting(authority: &Authority, identity: Option<&Identity>) -> Self {
        Self::new(trusting(authority, identity))
    }

    fn new(config: ClientConfig) -> Self {
        let builder = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http();
        Self(Pool::builder(TokioExecutor::new()).build(builder.enable_all_versions().build()))
    }

    /// The same over HTTP/1.1 only.
    pub fn old(authority: &Authority) -> Self {
        let config = trusting(authority, None);
        let builder = HttpsConnectorBuilder::new().with_tls_config(config).https_only();
        Self(Pool::builder(TokioExecutor::new()).build(builder.enable_http1().build()))
    }

    /// A payment with a key.
    pub async fn pay(&self, url: &str, key: &str, headers: &[(&str, &str)]) -> Response {
        self.try_to_pay(url, key, headers).await.unwrap()
    }

    pub async fn try_to_pay(
        &self,
        url: &str,
        key: &str,
        headers: &[(&str, &str)],
    ) -> Result<Response, Error> {
        let mut request = Request::post(format!("{url}/payments")).header("idempotency-key", key);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Full::new(Bytes::from("{}"))).unwrap()).await
    }

    pub async fn post(&self, url: &str, key: &str) -> Response {
        let request = Request::post(url).header("idempotency-key", key);
        self.send(request.body(Full::default()).unwrap()).await.unwrap()
    }

    pub async fn get(&self, url: &str) -> Response {
        self.send(Request::get(url).body(Full::default()).unwrap()).await.unwrap()
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response, Error> {
        let (head, body) = self.0.request(request).await?.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Ok(Response { status: head.status, version: head.version, headers: head.headers, text })
    }
}

pub fn trusting(authority: &Authority, identity: Option<&Identity>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
    config(&roots, identity)
}

fn config(roots: &RootCertStore, identity: Option<&Identity>) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots.clone());
    match identity {
        None => builder.with_no_client_auth(),
        Some(Identity { certificate, key }) => {
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    }
}
