//! [`ClientLayer`] as a middleware of reqwest-middleware.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use http::Extensions;
use http::request::Parts;
use reqwest::{Body, Request, Response, ResponseBuilderExt};
use reqwest_middleware::{Error, Middleware, Next, RequestBuilder};
use tower_service::Service;

use crate::client;
use crate::client::attempt::{Fault, JudgedResponse, Prepared};
use crate::client::disposition::Reply;
use crate::client::key_store::KeyStore;
use crate::client::layer::ClientLayer;
use crate::client::operation::Operation;
use crate::client::redirects::Redirected;
use crate::client::report::{Report, Reported};
use crate::client::service::{prepare, send};
use crate::client::settings::{Bound, Settings};
use crate::runtime::lock::lock;

mod redirects;

use redirects::observe;
pub use redirects::observed_redirects;

/// Retries the requests of a reqwest client as the layer does for a Tower client. Middleware before
/// it sees one request for each operation. Middleware after it sees one for each attempt.
///
/// An error is a [`client::Error`](crate::client::Error) in [`Error::Middleware`].
/// [`Reported`](crate::client::Reported) gets the [`Report`](crate::client::Report) of a response
/// or an error.
///
/// reqwest follows redirects itself, so the client needs [`observed_redirects`].
///
/// ```
/// use reqwest_middleware::ClientBuilder;
/// use tower_idempotency::client::{
///     ClientLayer, Disposition, MemoryKeyStore, Operations, Reported, observed_redirects,
/// };
///
/// # async fn pay() -> Result<(), Box<dyn std::error::Error>> {
/// let client = reqwest::Client::builder().redirect(observed_redirects(Default::default())).build()?;
/// let client = ClientBuilder::new(client).with(ClientLayer::new()).build();
///
/// let mut operation = Operations::new(MemoryKeyStore::new()).begin("invoice 113").await?;
/// let request = client.post("http://127.0.0.1:3000/payments").body("{}");
/// let response = operation.send_reqwest(request).await?;
/// let is_final = operation.disposition() == Some(Disposition::Final);
/// let status = response.report().and_then(|report| report.status());
/// if is_final && status.is_some_and(|status| status.is_success()) {
///     // Store the success here, and only then:
///     operation.finish().await?;
/// } else if operation.finish().await? {
///     // The rejection is certain. Store it here.
/// }
/// # Ok(())
/// # }
/// ```
#[async_trait]
impl Middleware for ClientLayer {
    async fn handle(
        &self,
        mut request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response, Error> {
        let head = head(&request, extensions)?;
        if !self.settings.guards(&head) {
            return next.run(request, extensions).await;
        }
        let body = request.body_mut().take();
        let has_body = body.is_some();
        let prepared = prepare(head, body.unwrap_or_default(), &self.settings).await;
        let prepared = prepared.map_err(Error::middleware)?;
        let shared = Arc::new(Mutex::new(std::mem::take(extensions)));
        let through = Through {
            next,
            template: Arc::new(request),
            has_body,
            extensions: Arc::clone(&shared),
        };
        let result = boxed(through, prepared, Arc::clone(&self.settings)).await;
        *extensions = std::mem::take(&mut *lock(&shared));
        match result {
            Ok(judged) => Ok(judged.response.map(Body::wrap).into()),
            Err(fault) => Err(Error::middleware(fault.error)),
        }
    }
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Boxed where its lifetime has a name, because in the future of `handle` the compiler cannot prove
/// that it is `Send`.
fn boxed(
    through: Through<'_>,
    request: Prepared,
    settings: Arc<Settings>,
) -> Boxed<'_, Result<JudgedResponse<Body>, Fault>> {
    Box::pin(send(through, request, settings))
}

/// The head of a request as the settings read it.
fn head(request: &Request, extensions: &Extensions) -> Result<Parts, Error> {
    let head =
        http::Request::builder().method(request.method()).uri(request.url().as_str()).body(());
    let (mut head, ()) = head.map_err(Error::middleware)?.into_parts();
    head.headers.clone_from(request.headers());
    if let Some(bound) = extensions.get::<Bound>() {
        head.extensions.insert(bound.clone());
    }
    Ok(head)
}

/// The middleware that comes after this one, and reqwest behind it.
#[derive(Clone)]
struct Through<'a> {
    next: Next<'a>,
    /// The request without its body: its address, version and time limit.
    template: Arc<Request>,
    has_body: bool,
    /// The extensions of middleware, which pass from attempt to attempt.
    extensions: Arc<Mutex<Extensions>>,
}

impl<'a> Service<http::Request<Bytes>> for Through<'a> {
    type Response = http::Response<Body>;
    type Error = Error;
    type Future = Boxed<'a, Result<http::Response<Body>, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, prepared: http::Request<Bytes>) -> Self::Future {
        let through = self.clone();
        Box::pin(async move {
            let (head, body) = prepared.into_parts();
            let template = &through.template;
            // A request without a body can always be cloned.
            let afresh = || Request::new(template.method().clone(), template.url().clone());
            let mut request = template.try_clone().unwrap_or_else(afresh);
            *request.headers_mut() = head.headers;
            *request.body_mut() = through.has_body.then(|| body.into());
            let mut extensions = lock(&through.extensions).clone();
            let sent = through.next.run(request, &mut extensions);
            let (response, is_redirected) = observe(template.url(), sent).await;
            *lock(&through.extensions) = extensions;
            response.map(|response| located(response, is_redirected))
        })
    }
}

/// The response with its address, which the conversion to `http` and back would lose.
fn located(response: Response, is_redirected: bool) -> http::Response<Body> {
    let url = response.url().clone();
    let (mut head, body) = http::Response::from(response).into_parts();
    if let Ok(address) = http::Response::builder().url(url).body(()) {
        head.extensions.extend(address.into_parts().0.extensions);
    }
    if is_redirected {
        head.extensions.insert(Redirected);
    }
    http::Response::from_parts(head, body)
}

impl<K: KeyStore> Operation<K> {
    /// Sends a request under the key of this operation through reqwest, and records what its
    /// response means.
    ///
    /// The client must have a [`ClientLayer`] as its middleware: see [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// Those of the client. The key stays stored.
    pub async fn send_reqwest(&mut self, mut request: RequestBuilder) -> Result<Response, Error> {
        let mut extensions = std::mem::take(request.extensions());
        let (client, request) = request.build_split();
        let mut request = request?;
        self.write_key(request.headers_mut());
        extensions.insert(self.bound());
        let url = request.url().clone();
        let sent = client.execute_with_extensions(request, &mut extensions);
        let (response, is_redirected) = observe(&url, sent).await;
        let mut response = response.inspect_err(|_| self.failed())?;
        if response.report().is_none() {
            let reply = Reply::new(response.status(), response.headers()).redirected(is_redirected);
            let report = self.judge(reply);
            response.extensions_mut().insert(report);
        }
        Ok(response)
    }
}

impl Reported for Response {
    fn report(&self) -> Option<&Report> {
        self.extensions().get()
    }
}

impl Reported for Error {
    fn report(&self) -> Option<&Report> {
        match self {
            Error::Middleware(error) => {
                error.chain().find_map(|error| error.downcast_ref::<client::Error>()?.report())
            }
            Error::Reqwest(_) => None,
        }
    }
}
