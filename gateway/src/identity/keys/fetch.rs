//! Fetches a key set.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, HeaderValue, USER_AGENT};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::KeySet;
use crate::proxy::chain;
use crate::tls;

/// Key sets have a few kilobytes.
const LARGEST: usize = 256 << 10;

/// The address of a key set.
#[derive(Debug)]
pub(super) struct Fetcher {
    uri: Uri,
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    /// From the connection to the end of the body.
    limit: Duration,
}

impl Fetcher {
    /// # Errors
    ///
    /// If the address is malformed: a text that says what to correct.
    pub(super) fn new(url: &str, limit: Duration) -> Result<Self, String> {
        let wrong = || "`jwks` is the path of a file, or https://HOST/PATH".to_owned();
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
        if !is_http || uri.authority().is_none_or(|host| host.as_str().contains('@')) {
            return Err(wrong());
        }
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls::towards_upstreams(None)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        // Each fetch has a connection of its own: they are minutes apart.
        let client =
            Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Ok(Self { uri, client, limit })
    }

    /// The address, without a query, which may contain a secret.
    pub(super) fn name(&self) -> String {
        let host = self.uri.authority().map_or("", http::uri::Authority::as_str);
        format!("{host}{}", self.uri.path())
    }

    /// Fetches the set once. A redirect is an error: keys come from where the file says.
    ///
    /// # Errors
    ///
    /// If the set cannot be fetched or read: a text with the cause.
    pub(super) async fn fetch(&self) -> Result<KeySet, String> {
        tokio::time::timeout(self.limit, self.fetch_slowly())
            .await
            .unwrap_or_else(|_| Err(format!("no key set within {:?}", self.limit)))
    }

    async fn fetch_slowly(&self) -> Result<KeySet, String> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        let accepted = "application/jwk-set+json, application/json";
        headers.insert(ACCEPT, HeaderValue::from_static(accepted));
        headers.insert(USER_AGENT, HeaderValue::from_static(env!("CARGO_PKG_NAME")));
        let response = self.client.request(request).await.map_err(|error| chain(&error))?;
        if response.status() != StatusCode::OK {
            return Err(format!("the response has the status {}", response.status().as_u16()));
        }
        let body = Limited::new(response.into_body(), LARGEST);
        let body = body.collect().await.map_err(|error| chain(&*error))?.to_bytes();
        KeySet::parse(&body)
    }
}
