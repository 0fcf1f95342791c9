//! The connections to one upstream.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, StatusCode, Uri, Version};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::{HttpConnector, capture_connection};
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio_rustls::rustls::ClientConfig;

use super::body::{BodyError, Paced, RequestBody, ResponseBody};
use super::connector::Connector;
use super::failure::Failure;
use crate::file::{Timeouts, UpstreamTable};
use crate::http2;
use crate::workers;

/// Shorter than servers keep an idle connection: gunicorn 2 s, uvicorn and Node.js 5 s. A request on
/// a connection that the upstream is closing may be lost, and may have been read.
const IDLE: Duration = Duration::from_secs(1);

/// A server that requests are sent to.
pub(crate) struct Upstream {
    /// One for each worker, so that connections never wake another thread.
    clients: Box<[Client<Connector, RequestBody>]>,
    scheme: Scheme,
    authority: Authority,
    host: Option<HeaderValue>,
    is_http2: bool,
    first_byte: Duration,
    idle: Duration,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

impl Upstream {
    /// # Errors
    ///
    /// If the address is malformed: a text that says what to correct.
    pub(crate) fn new(
        table: &UpstreamTable,
        timeouts: &Timeouts,
        tls: ClientConfig,
    ) -> Result<Self, String> {
        let (scheme, authority) = parse(&table.url)?;
        let host = table
            .host
            .as_ref()
            .map(|host| HeaderValue::from_str(host).map_err(|_| format!("`{host}` is not a host")))
            .transpose()?;
        if host.is_some() && table.http2 {
            return Err("an upstream with http2 gets its own name: leave `host` out".to_owned());
        }
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        http.set_keepalive(Some(Duration::from_mins(1)));
        http.enforce_http(false);
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let connector = if table.http2 {
            builder.enable_http2().wrap_connector(http)
        } else {
            builder.enable_http1().wrap_connector(http)
        };
        // While there is no connection, nothing was sent: that must be known before `first_byte`.
        let limit = timeouts.connect.0.min(timeouts.first_byte.0.mul_f64(0.9));
        let connector = Connector::new(connector, limit);
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(table.idle.map_or(IDLE, |idle| idle.0))
            .http2_only(table.http2)
            .http2_initial_stream_window_size(http2::OF_UPSTREAMS.stream)
            .http2_initial_connection_window_size(http2::OF_UPSTREAMS.connection)
            .set_host(false);
        let clients = (0..workers::count()).map(|_| builder.build(connector.clone())).collect();
        Ok(Self {
            clients,
            scheme,
            authority,
            host,
            is_http2: table.http2,
            first_byte: timeouts.first_byte.0,
            idle: timeouts.idle.0,
        })
    }

    pub(super) fn is_http2(&self) -> bool {
        self.is_http2
    }

    /// The `Host` that the upstream always gets.
    pub(super) fn host(&self) -> Option<&HeaderValue> {
        self.host.as_ref()
    }

    /// Its own name as a `Host`.
    pub(super) fn name(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(self.authority.as_str()).ok()
    }

    pub(super) fn uri(&self, path: PathAndQuery) -> Uri {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path);
        // It has all three parts, so it is a valid one.
        Uri::from_parts(parts).unwrap_or_default()
    }

    /// Sends a request once. A connection from the pool that turns out to be closed is replaced by
    /// another one only if no byte of the request was written to it.
    pub(super) async fn send(
        &self,
        mut request: Request<RequestBody>,
    ) -> Result<Response<ResponseBody>, Failure> {
        let progress = request.body_mut().progress();
        let connection = (!self.is_http2).then(|| capture_connection(&mut request));
        let asks_for_a_tunnel = request.headers().contains_key(UPGRADE);
        let sent = self.clients[workers::number()].request(request);
        let response = match progress {
            None => match tokio::time::timeout(self.first_byte, sent).await {
                Ok(response) => response,
                Err(_) => return Err(Failure::TimedOut),
            },
            Some(progress) => tokio::select! {
                response = sent => response,
                () = progress.stands_still(self.first_byte) => return Err(Failure::TimedOut),
            },
        };
        match response {
            Ok(response) => {
                // After an error, servers such as uvicorn close the connection and do not say so. The
                // next request would be lost on it.
                if response.status().is_server_error()
                    && let Some(connection) = connection
                    && let Some(connection) = &*connection.connection_metadata()
                {
                    connection.poison();
                }
                if let Some(flaw) = flaw(&response, asks_for_a_tunnel) {
                    return Err(Failure::NoResponse(flaw.into()));
                }
                Ok(response.map(|body| ResponseBody::from(Paced::new(body, self.idle, None))))
            }
            Err(error) => Err(failure_of(error)),
        }
    }
}

/// Why a response is none. With two lengths, two clients would take it for different ones (RFC 9112,
/// 6.3), and a client must not be told of another protocol that it did not ask for.
fn flaw<B>(response: &Response<B>, asks_for_a_tunnel: bool) -> Option<&'static str> {
    let headers = response.headers();
    let mut encodings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(encoding) = encodings.next() {
        let is_chunked = encoding.as_bytes().eq_ignore_ascii_case(b"chunked");
        if headers.contains_key(CONTENT_LENGTH) {
            return Some("the response has a Content-Length and a Transfer-Encoding");
        }
        if !is_chunked || encodings.next().is_some() || response.version() != Version::HTTP_11 {
            return Some("the Transfer-Encoding of the response is not chunked alone");
        }
    }
    let is_number = |length: &HeaderValue| length.as_bytes().iter().all(u8::is_ascii_digit);
    if !headers.get_all(CONTENT_LENGTH).iter().all(is_number) {
        return Some("the Content-Length of the response is not a number");
    }
    let is_switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    (is_switched && !asks_for_a_tunnel).then_some("the upstream changes the protocol unasked")
}

fn failure_of(error: ClientError) -> Failure {
    if error.is_connect() || was_never_sent(&error) {
        return Failure::NotSent(Box::new(error));
    }
    match cause::<BodyError>(&error) {
        Some(BodyError::TooLarge) => Failure::Client(BodyError::TooLarge),
        Some(BodyError::Idle | BodyError::Broken(_)) => Failure::Client(BodyError::Idle),
        None => Failure::NoResponse(Box::new(error)),
    }
}

/// Whether the connection ended before a byte of the request was written to it. Or an HTTP/2 server
/// has said that it did not look at the request (RFC 9113, 8.7).
fn was_never_sent(error: &ClientError) -> bool {
    cause::<hyper::Error>(error).is_some_and(hyper::Error::is_canceled)
        || cause::<h2::Error>(error).and_then(h2::Error::reason) == Some(h2::Reason::REFUSED_STREAM)
}

/// The cause of this type.
fn cause<T: Error + 'static>(error: &ClientError) -> Option<&T> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        source = error.source();
    }
    None
}

fn parse(url: &str) -> Result<(Scheme, Authority), String> {
    let wrong = || format!("`{url}` is not http://HOST:PORT or https://HOST:PORT");
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let parts = uri.into_parts();
    let has_path = parts.path_and_query.is_some_and(|path| path != "/");
    match (parts.scheme, parts.authority) {
        (Some(_), Some(_)) if has_path => {
            Err(format!("`{url}` has a path: the upstream gets the path of the client"))
        }
        (Some(_), Some(authority)) if authority.as_str().contains('@') => {
            Err("an upstream takes no user and password".to_owned())
        }
        (Some(scheme), Some(authority)) if scheme == Scheme::HTTP || scheme == Scheme::HTTPS => {
            Ok((scheme, authority))
        }
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_upstream_is_a_scheme_and_an_authority() {
        for url in ["http://127.0.0.1:8000", "https://shop.example", "http://[::1]:8000/"] {
            assert!(parse(url).is_ok(), "{url}");
        }
        for url in
            ["127.0.0.1:8000", "ftp://a", "http://a/base", "http://user:sesame@a", "", "http://"]
        {
            let why = parse(url).unwrap_err();
            assert!(!why.contains("sesame"), "{why}");
        }
    }
}
