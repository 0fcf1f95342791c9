//! The [`Attempt`] that a handler makes, and what it can learn from it.

use std::any::Any;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use crate::record::key::{IdempotencyKey, StorageKey};
use crate::record::secret::SecretKey;
use crate::store::{Lease, Lent, OpenTransaction, PreviousAttempt};

pub(crate) mod downstream;
mod guard;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod transaction;

use downstream::Downstream;
use guard::{Guard, LeaseState};

/// The current attempt: its key, its number, how the previous attempt ended, and whether its lease
/// is still valid.
///
/// The layer puts it into the extensions of every request with a key. With the feature `axum` it is
/// also an extractor.
///
/// A handler that calls another system sends it a [`downstream_key`](Self::downstream_key), and not
/// the client's key. Two tenants may choose the same key, and the provider sees one merchant. With
/// the client's key, Bob's retry would find Alice's receipt.
///
/// If [`is_in_doubt`](Self::is_in_doubt) is `true`, the handler asks that system first, because an
/// earlier attempt may have had its effect there:
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
/// A slow handler can stop before its next step when its lease is lost, because another attempt may
/// then run:
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
pub struct Attempt(Arc<Inner>);

/// What all clones of an attempt share.
#[derive(Debug)]
struct Inner {
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
        settings: Weak<dyn Any + Send + Sync>,
        secret: Option<Arc<SecretKey>>,
    ) -> Self {
        Self(Arc::new(Inner {
            key,
            downstream: Downstream { operation: lease.key, secret },
            number: lease.attempt,
            previous: lease.previous,
            guard: Some(Guard {
                token: lease.token,
                layer: Arc::downgrade(layer),
                settings,
                lease: LeaseState::default(),
            }),
            transaction: lease.transaction.as_ref().map(OpenTransaction::lent),
        }))
    }

    /// Creates an attempt that no record guards.
    pub(crate) fn unguarded(
        key: IdempotencyKey,
        operation: StorageKey,
        secret: Option<Arc<SecretKey>>,
    ) -> Self {
        let downstream = Downstream { operation, secret };
        Self(Arc::new(Inner {
            key,
            downstream,
            number: 1,
            previous: None,
            guard: None,
            transaction: None,
        }))
    }

    /// Returns an idempotency key for another system that the handler calls, such as a payment
    /// provider.
    ///
    /// It is the same in each attempt of an operation, so the other system recognizes a retry. It
    /// differs for each purpose: a handler that charges and then pays out uses two keys.
    ///
    /// Use it instead of the client's [`key`](Self::key). Two tenants may send the same key, and
    /// the other system sees one merchant. The second tenant would "pay" with the charge of the
    /// first.
    ///
    /// The key has 36 characters in the form of a UUID of version 8 (RFC 9562). Its 122 bits are a
    /// BLAKE3 digest of namespace, scope, key and purpose. With
    /// [`secret`](crate::IdempotencyLayer::secret) the digest is keyed, and a reader of the store
    /// cannot compute it.
    ///
    /// The key changes with the namespace, the scope and the secret. Change none of them while
    /// records are live.
    ///
    /// The key does not depend on the content of the request. After a response that means "nothing
    /// happened", a client may send a changed request under its key. If the other system compares
    /// requests too, add to the purpose what may change, such as the id of the payment method.
    ///
    /// Do not put a secret into the purpose. Without `secret` the digest is not keyed, and the
    /// other system receives it.
    ///
    /// Clients must not reuse keys. A client that uses its key again after the retention gets the
    /// same downstream key, and so the old charge.
    ///
    /// ```
    /// use tower_idempotency::Attempt;
    ///
    /// fn charge_key(attempt: &Attempt) -> String {
    ///     attempt.downstream_key("charge")
    /// }
    /// ```
    pub fn downstream_key(&self, purpose: &str) -> String {
        self.0.downstream.key(purpose)
    }

    /// The key that the client sent, for your own logs.
    ///
    /// Two tenants may send the same key. Send other systems a
    /// [`downstream_key`](Self::downstream_key) instead.
    pub fn key(&self) -> &IdempotencyKey {
        &self.0.key
    }

    /// The number of the attempt: 1 for the first, then 2, 3, …
    pub fn number(&self) -> u32 {
        self.0.number
    }

    /// How the previous attempt ended. `None` for the first attempt.
    ///
    /// Use it for logs and for your own policies. To decide whether to ask other systems, use
    /// [`is_in_doubt`](Self::is_in_doubt) instead, because an attempt before the last one may have
    /// had the effect.
    pub fn previous(&self) -> Option<PreviousAttempt> {
        self.0.previous
    }

    /// Whether an earlier attempt under this key may have had an effect without a definitive
    /// response since.
    ///
    /// An attempt puts the operation in doubt in each of these cases:
    ///
    /// - The attempt was cut off, panicked or returned an error.
    /// - Its response said that it was cut off behind the handler:
    ///   [`ResponseDirective::abandoned`](crate::ResponseDirective::abandoned).
    /// - The attempt gave a failed response: 408, a 5xx other than 511, or a response that
    ///   [`ResponseDirective::failed`](crate::ResponseDirective::failed) or
    ///   [`classify`](crate::IdempotencyLayer::classify) declares failed.
    ///
    /// If it is `true`, ask the systems that the handler calls what was already done, and then do
    /// only the rest. [`previous`](Self::previous) does not replace this check: it describes only
    /// the last attempt, and an attempt before that one may have had the effect.
    ///
    /// An attempt without a record ([`is_guarded`](Self::is_guarded) is `false`) does not know of
    /// earlier attempts, so it is always in doubt.
    ///
    /// In transaction mode, a failed attempt has left nothing in the database. Its calls to other
    /// systems are still in doubt. An attempt that was cut off leaves no record there: the next
    /// attempt is a first attempt and not in doubt.
    pub fn is_in_doubt(&self) -> bool {
        // A first attempt in which nothing happened leaves no record, so the next one is a first
        // attempt again.
        self.0.number > 1 || !self.is_guarded()
    }

    /// Whether a record guards this attempt.
    ///
    /// It is `false` only while the store is down under
    /// [`OnOutage::FailOpenRiskingDoubleEffects`](crate::OnOutage). The same request may then run
    /// any number of times.
    pub fn is_guarded(&self) -> bool {
        self.0.guard.is_some()
    }

    /// The transaction that this attempt runs in, for your own stores. With the stores of this
    /// crate, use `Attempt::transaction`.
    ///
    /// It is `None` outside of transaction mode, and after the attempt has ended.
    pub fn open_transaction(&self) -> Option<OpenTransaction> {
        self.0.transaction.as_ref().and_then(Lent::open)
    }

    /// Whether the lease is lost, or has lapsed because the layer could not renew it.
    ///
    /// Another attempt may then run, or may have run. The layer stores the late response only if no
    /// other attempt has the key.
    pub fn has_lost_lease(&self) -> bool {
        self.lease_state().is_some_and(|lease| lease.lost.load(Ordering::Acquire))
    }

    /// Waits until the lease is lost, or has lapsed because the layer could not renew it. If
    /// neither happens, the future never completes.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn lease_lost(&self) {
        let Some(lease) = self.lease_state() else {
            return std::future::pending().await;
        };
        // Created before the check, so that a loss between the check and the wait is not missed.
        let changed = lease.changed.notified();
        if !lease.lost.load(Ordering::Acquire) {
            changed.await;
        }
    }

    /// Reports that this attempt conflicted with another transaction: a serialization failure or a
    /// deadlock.
    ///
    /// Call it before the handler or the operation returns, on any clone of the attempt.
    ///
    /// In transaction mode the layer then rolls the attempt back and does not record it, whatever
    /// it returns, unless it panics. The client gets 409 in flight with `Retry-After`, or the
    /// attempt runs again: see [`retry_conflicts`](crate::IdempotencyLayer::retry_conflicts).
    /// Outside of transaction mode it has no effect.
    ///
    /// Use it for errors that the layer does not recognize. The layer recognizes:
    ///
    /// - `sqlx::Error`, `TxError` and [`Conflict`](crate::store::Conflict);
    /// - a `Box<dyn Error + Send + Sync>` with one of them among its sources.
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
    /// fn report(attempt: &Attempt, error: PayoutError) -> PayoutError {
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
        if let Some(lease) = self.lease_state() {
            lease.conflict.store(true, Ordering::Release);
        }
    }
}
