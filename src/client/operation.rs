//! Operations that outlive the process that began them.

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

/// Begins operations, and takes up those that an earlier process left behind.
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
/// Otherwise the outcome is not certain yet, and the key stays. A process that dies in between
/// begins the same operation again after its restart, by the same name, and comes to the same key:
/// the server runs it once. [`pending`](Self::pending) lists what is left over.
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
    /// Stores the keys of operations in this store.
    pub fn new(keys: K) -> Self {
        Self { keys: Arc::new(keys), retention: RETENTION }
    }

    /// Sets how long the server remembers a key, as its operator says. Default: 24 h, the default
    /// of this crate's server side and Stripe's shortest. The server takes an older key for a new
    /// one, and could do the operation a second time, so an older key is not sent.
    #[must_use]
    pub fn retention(mut self, retention: Duration) -> Self {
        self.retention = retention;
        self
    }

    /// Begins the operation of this name under a new key, or takes it up again under the key that
    /// it has. The key is stored before this returns.
    ///
    /// The name says what is to be done, once: `invoice 113`, `payout 2026-11 of seller 7`.
    /// Two operations that mean different things must not share a name. The name keeps its key
    /// until [`finish`](Operation::finish), also after a final response: the server then replays
    /// it.
    ///
    /// # Errors
    ///
    /// If the key cannot be stored, if it is so old that the server may have forgotten it, or if it
    /// is dated more than five minutes ahead of the clock. Nothing must be sent then.
    pub async fn begin(&self, operation: impl Into<String>) -> Result<Operation<K>, OperationError> {
        self.begin_as(operation.into(), fresh_key(), History::clear()).await
    }

    /// As [`begin`](Self::begin), but a new operation gets this key, for example a
    /// [derived](super::derive_key) one. An operation that has begun goes on under its own.
    ///
    /// The key may have been sent before, so the operation is in doubt from the start: a 4xx is
    /// final only if it is a replay.
    ///
    /// # Errors
    ///
    /// As those of [`begin`](Self::begin).
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
        // What an earlier process did under the key is not known.
        let history = if is_resumed { History::not_known() } else { history };
        Ok(Operation { keys: Arc::clone(&self.keys), stored, age, is_resumed, history })
    }

    /// The operations that have a key, in no order: their outcome is not known, or they are not
    /// finished. To settle one, [`begin`](Self::begin) it by its name, and send its request, built
    /// from your own data.
    ///
    /// # Errors
    ///
    /// If they cannot be read.
    pub async fn pending(&self) -> io::Result<Vec<StoredKey>> {
        self.keys.list().await
    }

    /// Drops a key whatever the outcome, because the application has learnt it by other means.
    ///
    /// # Errors
    ///
    /// If it may be stored still.
    pub async fn forget(&self, stored: &StoredKey) -> io::Result<()> {
        self.keys.remove(&stored.operation, &stored.key).await
    }
}

/// An operation with a key that stays stored until the application finishes it.
///
/// Requests go out with [`send`](Self::send), or with `send_reqwest` (feature `client-reqwest`).
/// Both bind the request to the operation: the layer knows its key, its age and what happened
/// before.
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

    /// Whether the key was stored already: the operation may have been tried before.
    pub fn is_resumed(&self) -> bool {
        self.is_resumed
    }

    /// What the last attempt said. `None` if it had no response, or if there was none.
    pub fn disposition(&self) -> Option<Disposition> {
        self.history.last()
    }

    /// Sends a request under the key of this operation, through a Tower stack that has a
    /// [`ClientLayer`](super::ClientLayer), and notes what its response says.
    ///
    /// The request must be the same each time, because the server rejects another one. After a
    /// response that says that nothing happened (such as 400 or 422), the mended request goes on
    /// under the key.
    ///
    /// Without the layer in the stack there are no retries, and 4xx with a problem document are
    /// never final, because their bodies are not read.
    ///
    /// # Errors
    ///
    /// Those of the client. The key stays.
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
            let report =
                self.judge(Reply::new(response.status(), response.headers()).redirected(is_redirected));
            response.extensions_mut().insert(report);
        }
        Ok(response)
    }

    /// Puts the key into a request, for clients that [`send`](Self::send) cannot use. Each request
    /// that was marked needs a [`note`](Self::note) of its response; without one it counts as lost.
    pub fn mark<B>(&self, request: &mut Request<B>) {
        self.write_key(request.headers_mut());
        request.extensions_mut().insert(self.bound());
    }

    /// Judges a response in the light of what happened before, and notes what it says. It is for
    /// responses that did not come through a [`ClientLayer`](super::ClientLayer), which notes them
    /// itself.
    pub fn note(&mut self, reply: Reply<'_>) -> Disposition {
        self.history.note(reply)
    }

    /// Notes a response that came without the layer.
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

    /// What binds a request to this operation: a layer writes the key anew in its own form. The
    /// request must be sent now.
    pub(crate) fn bound(&self) -> Bound {
        self.history.mark();
        Bound { key: self.stored.key.clone(), age: self.age, history: Arc::clone(&self.history) }
    }

    pub(crate) fn failed(&self) {
        self.history.failed();
    }

    /// Drops the key if the last attempt was final, and returns whether it was dropped. From then
    /// on, the same name is a new operation. Store a success before. After a rejection call this
    /// first: the rejection is certain only if it returns `true`. It returns `false` after one that
    /// is not a replay if another process, or an earlier one, may have had an effect.
    ///
    /// A response larger than [`max_response`](super::ClientLayer::max_response), or a stream of
    /// events, counts before its end has come: it must have been read by then.
    ///
    /// # Errors
    ///
    /// If the key may be stored still. It does no harm: the same name then gets the same response
    /// again.
    pub async fn finish(self) -> io::Result<bool> {
        if self.disposition() != Some(Disposition::Final) {
            return Ok(false);
        }
        if self.history.is_certain() {
            return self.forget().await.map(|()| true);
        }
        self.keys.remove_unshared(&self.stored.operation, &self.stored.key).await
    }

    /// Drops the key whatever the outcome, because the application has learnt by other means what
    /// became of the operation.
    ///
    /// # Errors
    ///
    /// If it may be stored still.
    pub async fn forget(self) -> io::Result<()> {
        self.keys.remove(&self.stored.operation, &self.stored.key).await
    }
}
