//! What the handler can know of the attempt that it makes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::record::key::{IdempotencyKey, StorageKey};
use crate::record::secret::SecretKey;
use crate::store::{Lease, Lent, OpenTransaction, PreviousAttempt};

mod downstream;
mod guard;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod transaction;

use downstream::Downstream;
use guard::Guard;

/// The attempt in force: its key, its number, how the attempt before it ended, and whether its
/// lease still stands.
///
/// The layer puts it into the extensions of every request with a key. With the feature `axum` it is
/// an extractor too.
///
/// A handler that calls another system gives it a [`downstream_key`](Self::downstream_key), and not
/// the client's key. Two tenants may choose the same key, and the provider sees one merchant: with
/// the client's key, Bob's retry would find Alice's receipt.
///
/// The handler asks that system first whenever [`is_in_doubt`](Self::is_in_doubt) says so, because
/// an earlier attempt may have had its effect there:
///
/// ```
/// use http::StatusCode;
/// use tower_idempotency::Attempt;
///
/// trait Provider {
///     /// The receipt of the charge under this key, if there is one.
///     async fn find(&self, key: &str) -> Result<Option<String>, StatusCode>;
///     async fn charge(&self, key: &str) -> Result<String, StatusCode>;
/// }
///
/// async fn pay(attempt: &Attempt, provider: impl Provider) -> Result<String, StatusCode> {
///     let key = attempt.downstream_key("charge");
///     // If the provider cannot be asked, this attempt ends with a 503, and the next one asks.
///     if attempt.is_in_doubt()
///         && let Some(receipt) = provider.find(&key).await?
///     {
///         return Ok(receipt);
///     }
///     provider.charge(&key).await
/// }
/// ```
///
/// A handler that takes long can stop before its next step when its lease is lost, because another
/// attempt may run then:
///
/// ```
/// use tower_idempotency::Attempt;
///
/// async fn pay(attempt: Attempt) -> Result<&'static str, &'static str> {
///     tokio::select! {
///         () = check_the_account() => {}
///         () = attempt.lease_lost() => return Err("another attempt may have begun"),
///     }
///     Ok("charge")
/// }
/// # async fn check_the_account() {}
/// ```
#[derive(Debug, Clone)]
pub struct Attempt {
    key: IdempotencyKey,
    downstream: Downstream,
    number: u32,
    previous: Option<PreviousAttempt>,
    guard: Option<Guard>,
    transaction: Option<Lent>,
}

impl Attempt {
    pub(crate) fn new(
        key: IdempotencyKey,
        lease: &Lease,
        layer: &Arc<()>,
        secret: Option<Arc<SecretKey>>,
    ) -> Self {
        Self {
            key,
            downstream: Downstream { operation: lease.key, secret },
            number: lease.attempt,
            previous: lease.previous,
            guard: Some(Guard { token: lease.token, layer: Arc::downgrade(layer), lease: Arc::default() }),
            transaction: lease.transaction.as_ref().map(OpenTransaction::lent),
        }
    }

    /// One that no record guards.
    pub(crate) fn unguarded(
        key: IdempotencyKey,
        operation: StorageKey,
        secret: Option<Arc<SecretKey>>,
    ) -> Self {
        let downstream = Downstream { operation, secret };
        Self { key, downstream, number: 1, previous: None, guard: None, transaction: None }
    }

    /// The idempotency key for another system that the handler calls, such as a payment provider.
    ///
    /// It is the same in each attempt of an operation, so the other system recognizes a retry. It
    /// differs for each purpose: a handler that charges and then pays out takes two.
    ///
    /// Use it, and not the client's [`key`](Self::key). Two tenants may send the same key, and the
    /// other system sees one merchant. The second tenant would "pay" with the charge of the first.
    ///
    /// The key is 36 characters in the form of a UUID of version 8 (RFC 9562). Its 122 bits are a
    /// BLAKE3 digest of namespace, scope, key and purpose. With [`secret`](crate::IdempotencyLayer::secret)
    /// the digest is keyed, and a reader of the store cannot compute it.
    ///
    /// It changes with the namespace, the scope and the secret. So change none of them while records
    /// are live.
    ///
    /// It does not depend on the content of the request. After a response that means "nothing
    /// happened", a client may send a changed request under its key. If the other system compares
    /// requests too, put what may change into the purpose, such as the id of the payment method. Put
    /// no secret into it: without `secret` the digest is not keyed, and the other system gets it.
    ///
    /// A client that uses its key again after the retention gets the same downstream key, and so the
    /// old charge: keys must not be reused.
    ///
    /// ```
    /// use tower_idempotency::Attempt;
    ///
    /// fn charge_key(attempt: &Attempt) -> String {
    ///     attempt.downstream_key("charge")
    /// }
    /// ```
    pub fn downstream_key(&self, purpose: &str) -> String {
        self.downstream.key(purpose)
    }

    /// The key that the client sent, for logs of your own. Two tenants may send the same one: give
    /// other systems a [`downstream_key`](Self::downstream_key).
    pub fn key(&self) -> &IdempotencyKey {
        &self.key
    }

    /// 1 for the first attempt, then 2, 3, …
    pub fn number(&self) -> u32 {
        self.number
    }

    /// How the attempt before this one ended; `None` for the first.
    ///
    /// It is for logs and for policies of your own. To decide whether to ask other systems, use
    /// [`is_in_doubt`](Self::is_in_doubt): an attempt before the last one may have had the effect.
    pub fn previous(&self) -> Option<PreviousAttempt> {
        self.previous
    }

    /// Whether an earlier attempt under this key may have had an effect, and no attempt since gave
    /// a definitive response. An attempt puts the operation in doubt if it
    ///
    /// - was cut off, panicked or returned an error,
    /// - gave a failed response: 408, a 5xx other than 511, or what
    ///   [`ResponseDirective::failed`](crate::ResponseDirective::failed) or a
    ///   [`classify`](crate::IdempotencyLayer::classify) calls failed.
    ///
    /// Ask the systems that the handler calls what was done already, and only then do the rest.
    /// [`previous`](Self::previous) does not answer this question: it tells of the last attempt
    /// only, and an attempt before that one may have had the effect.
    ///
    /// An attempt without a record ([`is_guarded`](Self::is_guarded) is `false`) does not know of
    /// earlier ones, so it is in doubt too.
    ///
    /// In transaction mode an attempt that failed has left nothing in the database. Calls to other
    /// systems are still in doubt. An attempt that was cut off there leaves no record: the next one
    /// is a first attempt, and not in doubt.
    pub fn is_in_doubt(&self) -> bool {
        // A first attempt in which nothing happened leaves no record, so the next one is a first attempt again.
        self.number > 1 || !self.is_guarded()
    }

    /// Whether a record guards this attempt. `false` only while the store is down under
    /// [`OnOutage::FailOpenRiskingDoubleEffects`](crate::OnOutage): the same request may then run any number of times.
    pub fn is_guarded(&self) -> bool {
        self.guard.is_some()
    }

    /// The transaction that this attempt runs in, for stores of one's own: those of this crate have
    /// `Attempt::transaction`. `None` outside of transaction mode, and once the attempt has ended.
    pub fn open_transaction(&self) -> Option<OpenTransaction> {
        self.transaction.as_ref().and_then(Lent::open)
    }

    /// Whether the lease is lost, or has lapsed because it could not be renewed. Another attempt
    /// may then run, or may have run. The late response is stored only if no other attempt holds
    /// the key.
    pub fn has_lost_lease(&self) -> bool {
        self.standing().is_some_and(|lease| lease.lost.load(Ordering::Acquire))
    }

    /// Waits until the lease is lost, or has lapsed because it could not be renewed; for ever if that never happens.
    ///
    /// # Cancel safety
    ///
    /// A wait that is dropped loses nothing.
    pub async fn lease_lost(&self) {
        let Some(lease) = self.standing() else {
            return std::future::pending().await;
        };
        // Made before the look, it hears of a loss that comes in between.
        let told = lease.told.notified();
        if !lease.lost.load(Ordering::Acquire) {
            told.await;
        }
    }

    /// Says that another transaction was in the way of this attempt: a serialization failure or a
    /// deadlock. Call it before the handler or the operation returns. Any clone of the attempt will
    /// do.
    ///
    /// In transaction mode the attempt is then rolled back and not recorded, whatever it returns,
    /// unless it panics. The client gets 409 in flight with `Retry-After`, or the attempt runs
    /// again: [`retry_conflicts`](crate::IdempotencyLayer::retry_conflicts). Outside of transaction
    /// mode it means nothing.
    ///
    /// It is for errors that the layer does not read. The layer reads `sqlx::Error`, `TxError`,
    /// [`Conflict`](crate::store::Conflict), and a `Box<dyn Error + Send + Sync>` with one of them
    /// among its sources.
    ///
    /// ```
    /// # #[cfg(any(feature = "postgres", feature = "sqlite"))]
    /// # mod example {
    /// use tower_idempotency::Attempt;
    /// use tower_idempotency::store::Conflict;
    ///
    /// enum PayoutError {
    ///     Declined,
    ///     Database(sqlx::Error),
    /// }
    ///
    /// fn tell(attempt: &Attempt, error: PayoutError) -> PayoutError {
    ///     if let PayoutError::Database(error) = &error
    ///         && Conflict::of(error).is_some()
    ///     {
    ///         attempt.report_conflict();
    ///     }
    ///     error
    /// }
    /// # }
    /// ```
    pub fn report_conflict(&self) {
        if let Some(lease) = self.standing() {
            lease.conflict.store(true, Ordering::Release);
        }
    }
}
