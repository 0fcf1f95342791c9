//! One request: which route it has, whose it is, and what it gets.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::header::{EXPECT, HOST};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::Either;
use hyper::body::Incoming;
use tower_service::Service;

use crate::identity::Caller;
use crate::plan::Plan;
use crate::proxy::body::Paced;
use crate::proxy::{Client, RequestBody, ResponseBody, problem};
use crate::table::name_of;

/// The body of a response of a gateway.
pub(crate) type Body = Either<tower_idempotency::service::ResponseBody<ResponseBody>, ResponseBody>;

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

    pub(crate) async fn respond(
        &self,
        request: Request<Incoming>,
        address: SocketAddr,
        is_tls: bool,
    ) -> Response<Body> {
        let plan = self.plan();
        let (mut head, body) = request.into_parts();
        let host = match host_of(&head) {
            Ok(host) => host,
            Err(why) => return bad_request(why),
        };
        if let Some(hosts) = &plan.hosts
            && !host.as_deref().is_some_and(|host| hosts.contains(&name_of(host)))
        {
            return rejected(problem(
                StatusCode::MISDIRECTED_REQUEST,
                "host_not_served",
                "The gateway does not serve this host.",
            ));
        }
        if head.method == Method::CONNECT {
            return rejected(problem(
                StatusCode::NOT_IMPLEMENTED,
                "method_not_supported",
                "The gateway makes no tunnels for CONNECT.",
            ));
        }
        // The server sends 100 when the body is first read, and the upstream is not asked.
        head.headers.remove(EXPECT);
        head.extensions.insert(Client { address, is_tls });
        let idle = plan.timeouts.idle.0;
        let Some(guard) = plan.table.find(&head, host.as_deref()) else {
            let limit = plan.limits.body.map(|size| size.0);
            let body = RequestBody::from(Paced::new(body, idle, limit));
            return call(plan.pass.clone(), Request::from_parts(head, body))
                .await
                .map(Either::Right);
        };
        let caller = guard.identity.caller(&head).await;
        head.extensions.insert::<Caller>(caller);
        let body = RequestBody::from(Paced::new(body, idle, None));
        let service = guard.service.clone();
        call(service, Request::from_parts(head, body)).await.map(Either::Left)
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
fn host_of(head: &Parts) -> Result<Option<String>, &'static str> {
    let mut headers = head.headers.get_all(HOST).iter();
    let header = headers.next();
    if headers.next().is_some() {
        return Err("The request has more than one Host.");
    }
    let header =
        header.map(|value| value.to_str().map_err(|_| "The Host is not a name.")).transpose()?;
    let authority = head.uri.authority().map(http::uri::Authority::as_str);
    match (authority, header) {
        (Some(authority), _) if authority.contains('@') => Err("The target has a user."),
        (Some(authority), Some(header))
            if head.version == Version::HTTP_2 && !authority.eq_ignore_ascii_case(header) =>
        {
            Err("The Host is not the authority.")
        }
        (Some(authority), _) => Ok(Some(authority.to_owned())),
        (None, Some(header)) if header.contains(['/', '@', ',', ' ']) => {
            Err("The Host is not a name.")
        }
        (None, Some(header)) => Ok(Some(header.to_owned())),
        (None, None) if head.version == Version::HTTP_11 => Err("The request has no Host."),
        (None, None) => Ok(None),
    }
}

fn bad_request(why: &str) -> Response<Body> {
    rejected(problem(StatusCode::BAD_REQUEST, "request_invalid", why))
}

fn rejected(response: Response<ResponseBody>) -> Response<Body> {
    response.map(Either::Right)
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
        host_of(&request.body(()).unwrap().into_parts().0)
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
