//! Operations that survive a restart of the process that began them.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, Request, Response};
use tower_service::Service;

use crate::client::age::{Age, Untimely};
use crate::client::disposition::{Disposition, Reply};
use crate::client::history::History;
use crate::client::key_store::{KeyStore, StoredKey};
use crate::client::redirects::Redirected;
use crate::client::report::Report;
use crate::client::settings::{Bound, RETENTION, fresh_key, value};
use crate::record::key::IdempotencyKey;
use crate::settings::KEY_HEADERS;

mod error;

pub use error::OperationError;

/// Begins operations, and resumes those of an earlier process.
///
/// ```
/// use bytes::Bytes;
/// use http_body_util::Full;
/// use tower_idempotency::client::{Client, Disposition, FileKeyStore, Operations, Reported};
/// # use hyper_util::client::legacy::{self, connect::HttpConnector};
/// # type Connections = legacy::Client<HttpConnector, Full<Bytes>>;
///
/// # async fn pay(mut client: Client<Connections>) -> Result<(), Box<dyn std::error::Error>> {
/// let operations = Operations::new(FileKeyStore::open("/var/lib/payouts/keys")?);
///
/// let mut payout = operations.begin("payout 2026-11 of seller 7").await?;
/// let request = http::Request::post("https://bank.example/payouts").body(Full::from("…"))?;
/// let response = payout.send(&mut client, request).await?;
/// let is_final = payout.disposition() == Some(Disposition::Final);
/// let status = response.report().and_then(|report| report.status());
/// if is_final && status.is_some_and(|status| status.is_success()) {
///     // Store the success here, and only then:
///     payout.finish().await?;
/// } else if payout.finish().await? {
///     // The rejection is certain. Store it here.
/// }
/// # Ok(())
/// # }
/// ```
///
/// Otherwise the outcome is not certain yet, and the key stays stored. If the process dies before
/// `finish`, begin the operation again by the same name after the restart. It gets the same key, so
/// the server runs it once. [`pending`](Self::pending) lists the operations that are not finished.
#[derive(Debug)]
pub struct Operations<K> {
    keys: Arc<K>,
    retention: Duration,
}

impl<K> Clone for Operations<K> {
    fn clone(&self) -> Self {
        Self { keys: Arc::clone(&self.keys), retention: self.retention }
    }
}

impl<K: KeyStore> Operations<K> {
    /// Makes operations that store their keys in `keys`.
    pub fn new(keys: K) -> Self {
        Self { keys: Arc::new(keys), retention: RETENTION }
    }

    /// Sets how long the server remembers a key, as its operator says. Default: 24 h, the default
    /// of this crate's server side and the shortest of Stripe.
    ///
    /// An older key is not sent, because the server takes it for a new one and may do the operation
    /// a second time.
    #[must_use]
    pub fn retention(mut self, retention: Duration) -> Self {
        self.retention = retention;
        self
    }

    /// Begins the operation of this name under a new key, or resumes it under its stored key. The
    /// key is stored before this returns.
    ///
    /// The name says what to do once: `invoice 113`, `payout 2026-11 of seller 7`. The key stays
    /// with the name until [`finish`](Operation::finish), also after a final response. The server
    /// then replays that response.
    ///
    /// Two different operations must not share a name. Otherwise the second one gets the response
    /// of the first, or is rejected.
    ///
    /// # Errors
    ///
    /// Do not send the request after an error. It is one of these:
    ///
    /// - The key cannot be stored.
    /// - The key is so old that the server may have forgotten it.
    /// - The key is dated more than five minutes ahead of the clock.
    pub async fn begin(
        &self,
        operation: impl Into<String>,
    ) -> Result<Operation<K>, OperationError> {
        self.begin_as(operation.into(), fresh_key(), History::clear()).await
    }

    /// As [`begin`](Self::begin), but a new operation gets this key, for example a
    /// [derived](super::derive_key) one. A resumed operation has its stored key.
    ///
    /// The key may have been sent before. So the operation is in doubt from the start, and a 4xx is
    /// final only if it is a replay.
    ///
    /// # Errors
    ///
    /// The same as for [`begin`](Self::begin).
    pub async fn begin_with_key(
        &self,
        operation: impl Into<String>,
        key: IdempotencyKey,
    ) -> Result<Operation<K>, OperationError> {
        self.begin_as(operation.into(), key, History::not_known()).await
    }

    async fn begin_as(
        &self,
        operation: String,
        key: IdempotencyKey,
        history: Arc<History>,
    ) -> Result<Operation<K>, OperationError> {
        let new = StoredKey { operation, key, created_at: SystemTime::now() };
        let stored = self.keys.put_if_absent(new.clone()).await.map_err(OperationError::Store)?;
        let created_at = stored.created_at;
        let age = Age { created_at, retention: self.retention };
        age.check(SystemTime::now()).map_err(|untimely| match untimely {
            Untimely::Expired => OperationError::Expired { created_at },
            Untimely::ClockBehind => OperationError::ClockBehind { created_at },
        })?;
        let is_resumed = stored != new;
        // An earlier process may have sent requests under the key.
        let history = if is_resumed { History::not_known() } else { history };
        Ok(Operation { keys: Arc::clone(&self.keys), stored, age, is_resumed, history })
    }

    /// The operations with a stored key, in no order. Their outcome is not known, or they are not
    /// finished. To settle one, [`begin`](Self::begin) it by its name, and send its request, built
    /// from your own data.
    ///
    /// # Errors
    ///
    /// If they cannot be read.
    pub async fn pending(&self) -> io::Result<Vec<StoredKey>> {
        self.keys.list().await
    }

    /// Removes a key whatever the outcome. Use it when the application knows the outcome from
    /// elsewhere.
    ///
    /// # Errors
    ///
    /// If the key may still be stored.
    pub async fn forget(&self, stored: &StoredKey) -> io::Result<()> {
        self.keys.remove(&stored.operation, &stored.key).await
    }
}

/// An operation with a key that stays stored until the application finishes it.
///
/// Send requests with [`send`](Self::send), or with `send_reqwest` (feature `client-reqwest`). Both
/// bind the request to the operation, so that the layer knows its key, its age and its history.
#[derive(Debug)]
pub struct Operation<K> {
    keys: Arc<K>,
    stored: StoredKey,
    age: Age,
    is_resumed: bool,
    history: Arc<History>,
}

impl<K: KeyStore> Operation<K> {
    /// The key of every attempt.
    pub fn key(&self) -> &IdempotencyKey {
        &self.stored.key
    }

    /// The name of the operation, its key, and when the key was made.
    pub fn stored(&self) -> &StoredKey {
        &self.stored
    }

    /// Whether the key was stored already, so that the operation may have been sent before.
    pub fn is_resumed(&self) -> bool {
        self.is_resumed
    }

    /// The disposition of the last attempt. `None` if it had no response, or before the first
    /// attempt.
    pub fn disposition(&self) -> Option<Disposition> {
        self.history.last()
    }

    /// Sends a request under the key of this operation, through a Tower stack with a
    /// [`ClientLayer`](super::ClientLayer), and records what its response means.
    ///
    /// The request must be the same each time, because the server rejects another one. After a
    /// response that says that nothing happened (such as 400 or 422), the corrected request can use
    /// the key.
    ///
    /// Without the layer in the stack there are no retries. A 4xx with a problem document is then
    /// never final, because its body is not read.
    ///
    /// # Errors
    ///
    /// Those of the client. The key stays stored.
    pub async fn send<S, B, R>(
        &mut self,
        client: &mut S,
        mut request: Request<B>,
    ) -> Result<Response<R>, S::Error>
    where
        S: Service<Request<B>, Response = Response<R>>,
    {
        std::future::poll_fn(|cx| client.poll_ready(cx)).await?;
        self.mark(&mut request);
        let mut response = client.call(request).await.inspect_err(|_| self.failed())?;
        if response.extensions().get::<Report>().is_none() {
            let is_redirected = response.extensions().get::<Redirected>().is_some();
            let report = self
                .judge(Reply::new(response.status(), response.headers()).redirected(is_redirected));
            response.extensions_mut().insert(report);
        }
        Ok(response)
    }

    /// Adds the key to a request, for clients that [`send`](Self::send) cannot use.
    ///
    /// Call [`note`](Self::note) with the response of each marked request. Without it, the request
    /// counts as lost.
    pub fn mark<B>(&self, request: &mut Request<B>) {
        self.write_key(request.headers_mut());
        request.extensions_mut().insert(self.bound());
    }

    /// Judges a response by the history of the key, and records what it means.
    ///
    /// Use it only for responses that did not come through a [`ClientLayer`](super::ClientLayer),
    /// because the layer records its responses itself.
    pub fn note(&mut self, reply: Reply<'_>) -> Disposition {
        self.history.note(reply)
    }

    /// Judges and records a response that came without the layer.
    pub(crate) fn judge(&mut self, reply: Reply<'_>) -> Report {
        Report {
            disposition: self.note(reply),
            status: reply.final_status(),
            is_in_doubt: self.history.leaves_doubt(),
            key: Some(self.key().clone()),
            attempts: 1,
        }
    }

    pub(crate) fn write_key(&self, headers: &mut HeaderMap) {
        let [header, other] = KEY_HEADERS;
        headers.remove(other);
        headers.insert(header, value(&self.stored.key, false));
    }

    /// Binds a request to this operation, so that the layer writes the key in its own form. The
    /// request must be sent now.
    pub(crate) fn bound(&self) -> Bound {
        self.history.mark();
        Bound { key: self.stored.key.clone(), age: self.age, history: Arc::clone(&self.history) }
    }

    pub(crate) fn failed(&self) {
        self.history.failed();
    }

    /// Removes the key if the last attempt was final, and returns whether it was removed. From then
    /// on, the same name is a new operation.
    ///
    /// - After a success, store it before this call.
    /// - After a rejection, call this first. The rejection is certain only if this returns `true`.
    ///   It returns `false` if the rejection is not a replay, and another or an earlier process may
    ///   have had an effect.
    ///
    /// A response larger than [`max_response`](super::ClientLayer::max_response), or a stream of
    /// events, counts before its end. Read it to its end before this call.
    ///
    /// # Errors
    ///
    /// If the key may still be stored. This does no harm, because the same name then gets the same
    /// response again.
    pub async fn finish(self) -> io::Result<bool> {
        if self.disposition() != Some(Disposition::Final) {
            return Ok(false);
        }
        if self.history.is_certain() {
            return self.forget().await.map(|()| true);
        }
        self.keys.remove_unshared(&self.stored.operation, &self.stored.key).await
    }

    /// Removes the key whatever the outcome. Use it when the application knows from elsewhere how
    /// the operation ended.
    ///
    /// # Errors
    ///
    /// If the key may still be stored.
    pub async fn forget(self) -> io::Result<()> {
        self.keys.remove(&self.stored.operation, &self.stored.key).await
    }
}
