//! One request that is sent several times, byte for byte.

use std::fmt::Debug;
use std::future::poll_fn;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use tower_service::Service;

pub(super) struct Exchange {
    head: Parts,
    body: Bytes,
}

impl Exchange {
    pub(super) async fn of<B: Body<Error: Debug>>(request: Request<B>) -> Self {
        let (head, body) = request.into_parts();
        Self { head, body: whole(body, "the body of the request").await }
    }

    pub(super) fn head(&self) -> &Parts {
        &self.head
    }

    /// Sends the request, and reads the response to its end.
    pub(super) async fn send<S, B, R>(&self, app: &mut S) -> Response<Bytes>
    where
        S: Service<Request<B>, Response = Response<R>>,
        S::Error: Debug,
        B: From<Bytes>,
        R: Body,
        R::Error: Debug,
    {
        let request = Request::from_parts(self.head.clone(), self.body.clone().into());
        let ready = poll_fn(|context| app.poll_ready(context)).await;
        let response = match ready {
            Ok(()) => app.call(request).await,
            Err(error) => Err(error),
        };
        let response = response.unwrap_or_else(|error| panic!("the service failed: {error:?}"));
        let (head, body) = response.into_parts();
        Response::from_parts(head, whole(body, "the body of the response").await)
    }
}

async fn whole<B: Body<Error: Debug>>(body: B, what: &str) -> Bytes {
    let collected = body.collect().await;
    collected.unwrap_or_else(|error| panic!("{what} ended with an error: {error:?}")).to_bytes()
}
