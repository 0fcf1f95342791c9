//! Redirects that reqwest follows itself.

use std::cell::Cell;

use reqwest::redirect::Policy;
use reqwest::{Response, Url, header};
use reqwest_middleware::Error;

tokio::task_local! {
    /// How many redirects the policy of the client was asked about.
    static SEEN: Cell<usize>;
}

/// Makes redirects visible to a [`ClientLayer`](crate::client::ClientLayer), and follows them by
/// `policy`. Every reqwest client with the layer needs it:
///
/// ```
/// use reqwest::redirect::Policy;
/// use tower_idempotency::client::observed_redirects;
///
/// let client = reqwest::Client::builder().redirect(observed_redirects(Policy::default())).build()?;
/// # Ok::<(), reqwest::Error>(())
/// ```
///
/// The response at the end of a redirect is never the outcome of an operation, because a login page
/// has the status 200 too. `Policy::none()` is safe without this policy.
///
/// Without it, the layer sees only redirects to another address. A POST that is redirected to its
/// own address, and fetched there with GET, looks like a success.
pub fn observed_redirects(policy: Policy) -> Policy {
    Policy::custom(move |attempt| {
        // Requests that do not go through the layer are not observed.
        let _ = SEEN.try_with(|seen| seen.set(seen.get() + 1));
        policy.redirect(attempt)
    })
}

/// Waits for a response, and returns whether reqwest followed redirects to it.
pub(super) async fn observe(
    url: &Url,
    sent: impl Future<Output = Result<Response, Error>>,
) -> (Result<Response, Error>, bool) {
    let sent = async {
        let response = sent.await;
        let seen = SEEN.with(Cell::get);
        (response, seen)
    };
    let (response, seen) = SEEN.scope(Cell::new(0), sent).await;
    let is_redirected = response.as_ref().is_ok_and(|response| {
        seen > usize::from(is_stopped(response)) || !is_same(url, response.url())
    });
    (response, is_redirected)
}

/// Whether the response is a redirect that the policy was asked about, and did not follow.
fn is_stopped(response: &Response) -> bool {
    let location =
        response.headers().get(header::LOCATION).and_then(|location| location.to_str().ok());
    response.status().is_redirection() && location.is_some_and(|to| response.url().join(to).is_ok())
}

/// Whether both URLs name the same resource. The other parts of a URL are not sent.
fn is_same(one: &Url, other: &Url) -> bool {
    // reqwest gives this host to a response that middleware made without an address.
    if other.host_str() == Some("no.url.provided.local") {
        return true;
    }
    let authority = |url: &Url| (url.host_str().map(str::to_owned), url.port_or_known_default());
    one.scheme() == other.scheme()
        && authority(one) == authority(other)
        && one.path() == other.path()
        && one.query() == other.query()
}
