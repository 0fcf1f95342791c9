//! One request: which route it has, whose it is, and what it gets.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use http::header::{HOST, HeaderValue, RETRY_AFTER, UPGRADE};
use http::request::Parts;
use http::uri::Authority;
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use http_body_util::Either;
use hyper::body::Incoming;
use tower_idempotency::{Rejection, Scope};
use tower_service::Service;
use tracing::Level;

use crate::identity::{Caller, Lack};
use crate::plan::{Guard, Plan};
use crate::proxy::body::Paced;
use crate::proxy::{Client, Place, RequestBody, ResponseBody, problem};
use crate::table::name_of;
use crate::telemetry::Figures;

/// The body of a response of a gateway.
pub(crate) type Body = Either<tower_idempotency::service::ResponseBody<ResponseBody>, ResponseBody>;

/// The other side of a connection.
pub(crate) struct Peer {
    pub(crate) client: Client,
    /// The caller that its certificate names.
    pub(crate) certificate: Option<Scope>,
    pub(crate) place: Place,
}

/// A gateway, whose plan can be replaced while it runs.
#[derive(Clone)]
pub(crate) struct Gateway {
    plan: Arc<ArcSwap<Plan>>,
}

impl Gateway {
    pub(crate) fn new(plan: Plan) -> Self {
        Self { plan: Arc::new(ArcSwap::from_pointee(plan)) }
    }

    pub(crate) fn plan(&self) -> Arc<Plan> {
        self.plan.load_full()
    }

    /// Requests that come from now on follow another plan.
    pub(crate) fn follow(&self, plan: Plan) {
        self.plan.store(Arc::new(plan));
    }

    pub(crate) async fn respond(&self, request: Request<Incoming>, peer: &Peer) -> Response<Body> {
        let plan = self.plan();
        let seen = tracing::enabled!(Level::DEBUG).then(|| Seen::of(&request));
        let (figures, response) = plan.respond(request, peer).await;
        figures.count(response.status());
        if let Some(seen) = seen {
            seen.tell(&figures.route, response.status(), peer);
        }
        response
    }
}

/// The logged parts of a request. Its query and headers may contain secrets, and are left out.
struct Seen {
    method: Method,
    path: String,
    begun: Instant,
}

impl Seen {
    fn of(request: &Request<Incoming>) -> Self {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        Self { method, path, begun: Instant::now() }
    }

    fn tell(self, route: &str, status: StatusCode, peer: &Peer) {
        let Self { method, path, begun } = self;
        let (status, milliseconds) = (status.as_u16(), begun.elapsed().as_secs_f64() * 1e3);
        let client = peer.client.address;
        tracing::debug!(%method, path, route, status, milliseconds, %client, "a request");
    }
}

impl Plan {
    /// The response, and the figures that it counts in.
    async fn respond(&self, request: Request<Incoming>, peer: &Peer) -> (&Figures, Response<Body>) {
        let (mut head, body) = request.into_parts();
        let host = match self.admit(&head) {
            Ok(host) => host,
            Err(rejection) => return (&self.pass_figures, rejection.map(Either::Right)),
        };
        let guard = self.table.find(&head, host);
        head.extensions.insert(peer.client.clone());
        if head.headers.contains_key(UPGRADE) {
            head.extensions.insert(peer.place.clone());
        }
        let idle = self.timeouts.idle.0;
        let Some(guard) = guard else {
            let limit = self.limits.body.map(|size| size.0);
            // A body that is too large by its own word is not begun.
            if limit.is_some_and(|limit| body.size_hint().lower() > limit as u64) {
                let response = problem(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "request_too_large",
                    "The body of the request is larger than the gateway lets through.",
                );
                return (&self.pass_figures, response.map(Either::Right));
            }
            let body = RequestBody::from(Paced::new(body, idle, limit));
            let response = call(self.pass.clone(), Request::from_parts(head, body)).await;
            return (&self.pass_figures, response.map(Either::Right));
        };
        let body = RequestBody::from(Paced::new(body, idle, None));
        // Boxed, because the future of a request that only passes is moved, too.
        let response = Box::pin(guard.respond(Request::from_parts(head, body), peer)).await;
        (&guard.figures, response)
    }

    /// The host of a request that the gateway serves.
    fn admit<'a>(&self, head: &'a Parts) -> Result<Option<&'a str>, Box<Response<ResponseBody>>> {
        let rejected = |status, code, detail| Err(Box::new(problem(status, code, detail)));
        if head.headers.len() > self.limits.headers {
            return rejected(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "headers_too_many",
                "The request has more headers than the gateway lets through.",
            );
        }
        let host = match host_of(head) {
            Ok(host) => host,
            Err(why) => return rejected(StatusCode::BAD_REQUEST, "request_invalid", why),
        };
        if let Some(hosts) = &self.hosts
            && !host.is_some_and(|host| hosts.contains(&name_of(host)))
        {
            return rejected(
                StatusCode::MISDIRECTED_REQUEST,
                "host_not_served",
                "The gateway does not serve this host.",
            );
        }
        if head.method == Method::CONNECT {
            return rejected(
                StatusCode::NOT_IMPLEMENTED,
                "method_not_supported",
                "The gateway makes no tunnels for CONNECT.",
            );
        }
        Ok(host)
    }
}

impl Guard {
    async fn respond(&self, mut request: Request<RequestBody>, peer: &Peer) -> Response<Body> {
        let (head, body) = request.into_parts();
        let caller = self.identity.caller(&head, peer.certificate.as_ref()).await;
        let lack = caller.lack();
        request = Request::from_parts(head, body);
        request.extensions_mut().insert::<Caller>(caller);
        let response = call(self.service.clone(), request).await.map(Either::Left);
        match lack {
            None => response,
            Some(lack) => self.without(lack, response),
        }
    }

    /// The response to a request without a caller, if that is why the layer has rejected it.
    fn without(&self, lack: Lack, mut response: Response<Body>) -> Response<Body> {
        if !matches!(response.extensions().get(), Some(Rejection::ScopeMissing)) {
            return response;
        }
        if lack == Lack::Undecided {
            let mut response = problem(
                StatusCode::SERVICE_UNAVAILABLE,
                "token_keys_unavailable",
                "The keys that verify the token cannot be fetched. Nothing was done.",
            );
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("10"));
            return response.map(Either::Right);
        }
        let status = response.status();
        self.identity.challenge(lack, status, response.headers_mut());
        response
    }
}

async fn call<S, R>(mut service: S, request: R) -> S::Response
where
    S: Service<R, Error = std::convert::Infallible>,
{
    match service.call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// The host of a request.
///
/// # Errors
///
/// Why it has none that is certain (RFC 9112, 3.2; RFC 9113, 8.3.1).
fn host_of(head: &Parts) -> Result<Option<&str>, &'static str> {
    let mut headers = head.headers.get_all(HOST).iter();
    let header = headers.next();
    if headers.next().is_some() {
        return Err("The request has more than one Host.");
    }
    let header =
        header.map(|value| value.to_str().map_err(|_| "The Host is not a name.")).transpose()?;
    let authority = head.uri.authority().map(http::uri::Authority::as_str);
    match (authority, header) {
        (Some(_), _) if head.uri.scheme().is_none() && head.method != Method::CONNECT => {
            Err("The target is neither a path nor a whole URI.")
        }
        (Some(authority), _) if authority.contains('@') => Err("The target has a user."),
        (Some(authority), Some(header))
            if head.version == Version::HTTP_2 && !authority.eq_ignore_ascii_case(header) =>
        {
            Err("The Host is not the authority.")
        }
        (Some(authority), _) => Ok(Some(authority)),
        (None, Some(header)) if !is_host(header) => Err("The Host is not a name."),
        (None, Some(header)) => Ok(Some(header)),
        (None, None) if head.version == Version::HTTP_11 => Err("The request has no Host."),
        (None, None) => Ok(None),
    }
}

/// An empty one says that the target has no authority.
fn is_host(header: &str) -> bool {
    header.is_empty() || header.parse::<Authority>().is_ok() && !header.contains(['@', ','])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn of(version: Version, uri: &str, hosts: &[&str]) -> Result<Option<String>, &'static str> {
        let mut request = Request::builder().version(version).uri(uri);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let head = request.body(()).unwrap().into_parts().0;
        host_of(&head).map(|host| host.map(str::to_owned))
    }

    #[test]
    fn a_request_has_one_host() {
        let some = |host: &str| Ok(Some(host.to_owned()));
        assert_eq!(of(Version::HTTP_11, "/", &["a"]), some("a"));
        assert_eq!(of(Version::HTTP_11, "http://b/", &["a"]), some("b"));
        assert_eq!(of(Version::HTTP_2, "http://a/", &["A"]), some("a"));
        assert_eq!(of(Version::HTTP_10, "/", &[]), Ok(None));
        for (version, uri, hosts) in [
            (Version::HTTP_11, "/", &[][..]),
            (Version::HTTP_11, "/", &["a", "a"]),
            (Version::HTTP_11, "/", &["a, b"]),
            (Version::HTTP_11, "http://user@b/", &["a"]),
            (Version::HTTP_2, "http://a/", &["b"]),
        ] {
            assert!(of(version, uri, hosts).is_err(), "{version:?} {uri} {hosts:?}");
        }
    }
}
