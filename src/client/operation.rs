//! Operations that outlive the process that began them.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{Request, Response};
use tower_service::Service;

use crate::client::disposition::Disposition;
use crate::client::key_store::{KeyStore, StoredKey};
use crate::client::service::GoodUntil;
use crate::client::settings::{fresh_key, value};
use crate::config::KEY_HEADERS;
use crate::key::IdempotencyKey;

/// Begins operations, and takes up those that an earlier process left behind.
///
/// ```
/// use bytes::Bytes;
/// use http_body_util::Full;
/// use tower_idempotency::client::{Client, FileKeyStore, Operations};
/// # use hyper_util::client::legacy::{self, connect::HttpConnector};
/// # type Connections = legacy::Client<HttpConnector, Full<Bytes>>;
///
/// # async fn pay(mut client: Client<Connections>) -> Result<(), Box<dyn std::error::Error>> {
/// let operations = Operations::new(FileKeyStore::open("/var/lib/payouts/keys")?);
///
/// let mut payout = operations.begin("payout 2026-11 of seller 7").await?;
/// let request = http::Request::post("https://bank.example/payouts").body(Full::from("…"))?;
/// let answer = payout.send(&mut client, request).await?;
/// // Write down that it was done, and only then:
/// payout.finish().await?;
/// # Ok(())
/// # }
/// ```
///
/// A process that dies anywhere in between begins the same operation again after its restart, by the same name, and comes
/// to the same key: the server runs it once. [`pending`](Self::pending) lists what is left over.
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
    /// Keeps the keys of operations in this store.
    pub fn new(keys: K) -> Self {
        Self { keys: Arc::new(keys), retention: Duration::from_hours(24) }
    }

    /// Sets how long the server remembers a key, as its operator says. Default: 24 h, which is the server side's default
    /// here, and Stripe's shortest. An older key would be taken for a new one, so that the operation could be done twice.
    #[must_use]
    pub fn retention(mut self, retention: Duration) -> Self {
        self.retention = retention;
        self
    }

    /// Begins the operation of this name, under a new key, or takes it up again under the one that it has. The key is
    /// kept before this returns.
    ///
    /// The name stands for what is to be done, once and for ever: `invoice 113`, `payout 2026-11 of seller 7`. Two that
    /// mean different things must not share one.
    ///
    /// # Errors
    ///
    /// If the key cannot be kept, or if it is so old that the server may have forgotten it. Nothing must be sent then.
    pub async fn begin(&self, operation: impl Into<String>) -> Result<Operation<K>, OperationError> {
        self.begin_with_key(operation, fresh_key()).await
    }

    /// As [`begin`](Self::begin), but a new operation gets this key, for example a [derived](super::derive_key) one. An
    /// operation that has begun goes on under its own.
    ///
    /// # Errors
    ///
    /// As those of [`begin`](Self::begin).
    pub async fn begin_with_key(
        &self,
        operation: impl Into<String>,
        key: IdempotencyKey,
    ) -> Result<Operation<K>, OperationError> {
        let new = StoredKey { operation: operation.into(), key, created_at: SystemTime::now() };
        let kept = self.keys.put_if_absent(new.clone()).await.map_err(OperationError::Store)?;
        let is_resumed = kept != new;
        let good_until = kept.created_at.checked_add(self.retention);
        // Of a key from the future nobody knows how old it is; clocks that are set right move by less.
        let is_from_now_on = kept.created_at <= new.created_at + Duration::from_mins(5);
        if !is_from_now_on || good_until.is_some_and(|end| end <= new.created_at) {
            return Err(OperationError::Expired { created_at: kept.created_at });
        }
        Ok(Operation { keys: Arc::clone(&self.keys), kept, good_until, is_resumed, disposition: None })
    }

    /// The operations whose answer is not certain, in no order.
    ///
    /// # Errors
    ///
    /// If they cannot be read.
    pub async fn pending(&self) -> io::Result<Vec<StoredKey>> {
        self.keys.list().await
    }

    /// Drops a key without an answer, because the application has learnt by other means what became of the operation.
    ///
    /// # Errors
    ///
    /// If it may be kept still.
    pub async fn forget(&self, kept: &StoredKey) -> io::Result<()> {
        self.keys.remove(&kept.operation, &kept.key).await
    }
}

/// An operation with a key that is kept until the answer is certain.
#[derive(Debug)]
pub struct Operation<K> {
    keys: Arc<K>,
    kept: StoredKey,
    good_until: Option<SystemTime>,
    is_resumed: bool,
    disposition: Option<Disposition>,
}

impl<K: KeyStore> Operation<K> {
    /// The key of every attempt.
    pub fn key(&self) -> &IdempotencyKey {
        &self.kept.key
    }

    /// The name of the operation, and since when it has its key.
    pub fn stored(&self) -> &StoredKey {
        &self.kept
    }

    /// Whether the key was kept already: the operation may have been tried before.
    pub fn is_resumed(&self) -> bool {
        self.is_resumed
    }

    /// Sends a request under the key of this operation, through a stack that has a [`ClientLayer`](super::ClientLayer),
    /// and notes what its answer says. The request must be the same each time: the server refuses another one.
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
        self.mark(&mut request);
        std::future::poll_fn(|cx| client.poll_ready(cx)).await?;
        let answer = client.call(request).await?;
        // Without the layer in the stack the body is not known, so that fewer answers are definitive.
        let judged = || Disposition::of_unread(answer.status(), answer.headers());
        self.note(answer.extensions().get().copied().unwrap_or_else(judged));
        Ok(answer)
    }

    /// Puts the key into a request, for clients that are no Tower service. [`note`](Self::note) then has to be
    /// told of the answer.
    pub fn mark<B>(&self, request: &mut Request<B>) {
        let [header, other] = KEY_HEADERS;
        request.headers_mut().remove(other);
        request.headers_mut().insert(header, value(&self.kept.key, false));
        // A layer writes it anew in its own form.
        request.extensions_mut().insert(self.kept.key.clone());
        // It also sends nothing any more when the server may have forgotten the key.
        self.good_until.map(|end| request.extensions_mut().insert(GoodUntil(end)));
    }

    /// Notes what an answer says. One that is definitive stays so, whatever comes after it.
    pub fn note(&mut self, disposition: Disposition) {
        if self.disposition != Some(Disposition::Final) {
            self.disposition = Some(disposition);
        }
    }

    /// What the last answer said. `None` if there was none.
    pub fn disposition(&self) -> Option<Disposition> {
        self.disposition
    }

    /// Drops the key if the answer was definitive, and tells whether it was. Call it when the application has written
    /// down what came of the operation: after it, the same name is a new operation. An answer larger than
    /// [`max_response`](super::ClientLayer::max_response), or a stream of events, counts before its end has come: it
    /// must have been read by then.
    ///
    /// # Errors
    ///
    /// If the key may be kept still. It does no harm: the same name then gets the same answer again.
    pub async fn finish(self) -> io::Result<bool> {
        let is_certain = self.disposition == Some(Disposition::Final);
        if is_certain {
            self.keys.remove(&self.kept.operation, &self.kept.key).await?;
        }
        Ok(is_certain)
    }

    /// Drops the key whatever the answer, because the application has learnt by other means what became of the operation.
    ///
    /// # Errors
    ///
    /// If it may be kept still.
    pub async fn forget(self) -> io::Result<()> {
        self.keys.remove(&self.kept.operation, &self.kept.key).await
    }
}

/// Why an operation cannot begin. Nothing must be sent.
#[derive(Debug)]
#[non_exhaustive]
pub enum OperationError {
    /// It is not certain that the key is kept.
    Store(io::Error),
    /// The operation began so long ago that the server may have forgotten its key. What became of it has to be found out;
    /// then [`Operations::forget`] makes room for a new one.
    Expired {
        /// When the operation began, by the client's clock.
        created_at: SystemTime,
    },
}

impl fmt::Display for OperationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Store(_) => "the key of the operation cannot be kept",
            Self::Expired { .. } => {
                "the operation began so long ago that the server may have forgotten its key"
            }
        })
    }
}

impl Error for OperationError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Store(source) => Some(source),
            Self::Expired { .. } => None,
        }
    }
}
