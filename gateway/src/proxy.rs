//! Sends a request to the upstream, and says what became of it.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{COOKIE, EXPECT, HOST, HeaderValue, TE, VIA};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, Request, Response, Version};
use metrics::Histogram;
use tower_idempotency::Attempt;
use tower_service::Service;

pub(crate) mod body;
mod connector;
mod failure;
mod forwarded;
mod headers;
mod told;
mod tunnel;
mod upstream;

pub(crate) use body::{RequestBody, ResponseBody};
pub(crate) use failure::{chain, problem};
pub(crate) use forwarded::{Client, Rules as ForwardedRules};
pub(crate) use tunnel::{Place, Tunnels};
pub(crate) use upstream::Upstream;

use failure::Failure;

/// The time between two attempts to send a guarded request. It doubles with each.
const PAUSE: Duration = Duration::from_millis(100);

/// The service inside of the layer, and the one of all that is not guarded.
#[derive(Clone)]
pub(crate) struct Proxy(Arc<Inner>);

struct Inner {
    upstream: Arc<Upstream>,
    forwarded: ForwardedRules,
    tunnels: Tunnels,
    /// The seconds until the head of a response.
    seconds: Histogram,
    /// How often a guarded request is sent again.
    retries: u32,
}

impl Proxy {
    pub(crate) fn new(
        upstream: Arc<Upstream>,
        forwarded: ForwardedRules,
        tunnels: Tunnels,
        seconds: Histogram,
        retries: u32,
    ) -> Self {
        Self(Arc::new(Inner { upstream, forwarded, tunnels, seconds, retries }))
    }
}

impl Service<Request<RequestBody>> for Proxy {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<RequestBody>) -> Self::Future {
        let Self(inner) = self.clone();
        let attempt = request.extensions_mut().remove::<Attempt>();
        let (mut head, body) = request.into_parts();
        inner.address(&mut head);
        match attempt {
            None => Box::pin(async move { Ok(inner.pass(head, body).await) }),
            Some(attempt) => Box::pin(async move { Ok(inner.forward(head, body, &attempt).await) }),
        }
    }
}

impl Inner {
    /// A request with an attempt.
    async fn forward(
        &self,
        mut head: Parts,
        body: RequestBody,
        attempt: &Attempt,
    ) -> Response<ResponseBody> {
        headers::strip(&mut head.headers);
        told::tell(&mut head.headers, attempt);
        match body.into_whole() {
            Ok(body) => self.guarded(head, body, attempt).await,
            // The layer has read the body, unless it let the request through in an outage.
            Err(body) => finish(self.send(Request::from_parts(head, body)).await),
        }
    }

    async fn send(&self, request: Request<RequestBody>) -> Result<Response<ResponseBody>, Failure> {
        let begun = Instant::now();
        let sent = self.upstream.send(request).await;
        match &sent {
            Ok(_) => self.seconds.record(begun.elapsed()),
            Err(failure) => failure.count(),
        }
        sent
    }

    /// A request that is not guarded. It is sent once.
    async fn pass(&self, mut head: Parts, body: RequestBody) -> Response<ResponseBody> {
        let Some(client) = Tunnels::asked_for(&mut head, &body) else {
            headers::strip(&mut head.headers);
            return finish(self.send(Request::from_parts(head, body)).await);
        };
        headers::strip_to_upgrade(&mut head.headers);
        match self.send(Request::from_parts(head, body)).await {
            Ok(response) => self.tunnels.join(client, response),
            Err(failure) => failure.into_response(false),
        }
    }

    /// A request whose key is reserved. The response tells the layer how the attempt ended.
    async fn guarded(&self, head: Parts, body: Bytes, attempt: &Attempt) -> Response<ResponseBody> {
        let mut may_have_happened = false;
        let mut headers = head.headers;
        for retry in 0..=self.retries {
            if retry > 0 {
                tokio::time::sleep(PAUSE * 2_u32.saturating_pow(retry - 1)).await;
            }
            let mut request = Request::new(RequestBody::from(body.clone()));
            *request.method_mut() = head.method.clone();
            *request.uri_mut() = head.uri.clone();
            *request.version_mut() = head.version;
            *request.headers_mut() = headers.clone();
            match self.send(request).await {
                Ok(mut response) => {
                    told::heed(&mut response);
                    return finish(Ok(response));
                }
                Err(failure) => {
                    may_have_happened |= failure.may_have_happened();
                    let is_last = retry == self.retries || attempt.has_lost_lease();
                    if is_last {
                        return failure.into_response(may_have_happened);
                    }
                    if may_have_happened {
                        told::is_in_doubt(&mut headers);
                    }
                }
            }
        }
        unreachable!("the last turn of the loop returns")
    }

    /// Sets where the request goes. The client has no say in it.
    fn address(&self, head: &mut Parts) {
        let via = via(head.version);
        let host = authority(head);
        head.extensions.remove::<hyper::ext::Protocol>();
        if let Some(client) = head.extensions.get::<Client>() {
            self.forwarded.apply(&mut head.headers, client, host.as_ref());
        }
        headers::remove_reserved(&mut head.headers);
        // The server sends 100 when the body is first read, and the upstream is not asked. The layer
        // needs the header: it reads no body of a request that it rejects.
        head.headers.remove(EXPECT);
        let is_http2 = self.upstream.is_http2();
        if is_http2 {
            head.headers.remove(HOST);
        } else {
            join_cookies(&mut head.headers);
            // A client of HTTP/1.0 may have named no host, and HTTP/1.1 demands one.
            let host = self.upstream.host().cloned().or(host).or_else(|| self.upstream.name());
            if let Some(host) = host {
                head.headers.insert(HOST, host);
            }
        }
        if !(is_http2 && headers::accepts_trailers(&head.headers)) {
            head.headers.remove(TE);
        }
        headers::write_length(&mut head.headers);
        head.headers.append(VIA, via);
        head.version = if is_http2 { Version::HTTP_2 } else { Version::HTTP_11 };
        let path = head.uri.path_and_query().cloned();
        head.uri = self.upstream.uri(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    }
}

/// How the request came (RFC 9110, 7.6.3).
fn via(version: Version) -> HeaderValue {
    HeaderValue::from_static(match version {
        Version::HTTP_2 => "2 tower-idempotency-gateway",
        Version::HTTP_10 => "1.0 tower-idempotency-gateway",
        _ => "1.1 tower-idempotency-gateway",
    })
}

/// The host that the client asked for: of the target in absolute form and in HTTP/2, or the header.
fn authority(head: &Parts) -> Option<HeaderValue> {
    match head.uri.authority() {
        Some(authority) => HeaderValue::from_str(authority.as_str()).ok(),
        None => head.headers.get(HOST).cloned(),
    }
}

/// HTTP/2 may split cookies into several headers, and HTTP/1.1 may not (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(COOKIE).iter();
    let (Some(first), Some(_)) = (cookies.next(), cookies.next()) else { return };
    let mut joined = first.as_bytes().to_vec();
    for cookie in headers.get_all(COOKIE).iter().skip(1) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(cookie.as_bytes());
    }
    if let Ok(joined) = HeaderValue::from_bytes(&joined) {
        headers.insert(COOKIE, joined);
    }
}

/// The response for the client.
fn finish(sent: Result<Response<ResponseBody>, Failure>) -> Response<ResponseBody> {
    match sent {
        Ok(mut response) => {
            headers::strip(response.headers_mut());
            headers::write_length(response.headers_mut());
            told::remove(response.headers_mut());
            response
        }
        Err(failure) => failure.into_response(true),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn cookies_are_joined() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=1"));
        join_cookies(&mut headers);
        assert_eq!(headers[COOKIE], "a=1");
        headers.append(COOKIE, HeaderValue::from_static("b=2"));
        join_cookies(&mut headers);
        assert_eq!(headers.get_all(COOKIE).iter().count(), 1);
        assert_eq!(headers[COOKIE], "a=1; b=2");
    }

    #[test]
    fn the_target_says_the_host_if_it_has_one() {
        let request = |uri: &str| {
            let uri: http::Uri = uri.parse().unwrap();
            Request::get(uri).header(HOST, "header").body(()).unwrap().into_parts().0
        };
        assert_eq!(authority(&request("/a")).unwrap(), "header");
        assert_eq!(authority(&request("http://target:80/a")).unwrap(), "target:80");
    }
}
