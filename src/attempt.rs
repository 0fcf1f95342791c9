//! What the handler can know of the attempt that it makes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use crate::key::IdempotencyKey;
use crate::store::{Lent, OpenTransaction, Previous};

#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod transaction;

/// The attempt in force: its key, its number, what the attempt before it came to, and whether its lease still stands.
///
/// The layer puts it into the extensions of every request with a key; with the feature `axum` it is an extractor too.
/// A handler that calls another system passes the key on, and asks that system what became of the attempt before it
/// when there was one:
///
/// ```
/// use http::Request;
/// use tower_idempotency::{Attempt, Previous};
///
/// async fn pay(request: Request<String>) -> String {
///     let Some(attempt) = request.extensions().get::<Attempt>() else {
///         return "this request carries no key".into();
///     };
///     match attempt.previous() {
///         None => format!("charge under {}", attempt.key().as_str()),
///         Some(Previous::Abandoned) => "ask the provider whether it was charged".into(),
///         Some(_) => format!("attempt {}", attempt.number()),
///     }
/// }
/// ```
///
/// A handler that takes long can stop before its next step when its lease is lost, for then another attempt may run:
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
    number: u32,
    previous: Option<Previous>,
    lease: Option<Arc<Standing>>,
    transaction: Option<Lent>,
}

/// Whether a lease still stands. Once it does not, it never does again.
#[derive(Debug, Default)]
struct Standing {
    /// The attempt has ended and is being written down; what a renewal finds from now on may be that very record.
    settling: AtomicBool,
    lost: AtomicBool,
    told: Notify,
}

impl Attempt {
    pub(crate) fn new(
        key: IdempotencyKey,
        number: u32,
        previous: Option<Previous>,
        transaction: Option<&OpenTransaction>,
    ) -> Self {
        let transaction = transaction.map(OpenTransaction::lent);
        Self { key, number, previous, lease: Some(Arc::default()), transaction }
    }

    /// One that no record guards.
    pub(crate) fn unguarded(key: IdempotencyKey) -> Self {
        Self { key, number: 1, previous: None, lease: None, transaction: None }
    }

    /// The key that the client sent.
    pub fn key(&self) -> &IdempotencyKey {
        &self.key
    }

    /// 1 for the first attempt, then 2, 3, …
    pub fn number(&self) -> u32 {
        self.number
    }

    /// What the attempt before this one came to; `None` for the first.
    pub fn previous(&self) -> Option<Previous> {
        self.previous
    }

    /// Whether a record guards this attempt. `false` only while the store is down under
    /// [`OnOutage::OpenRiskingDoubleEffects`](crate::OnOutage): the same request may then run any number of times.
    pub fn is_guarded(&self) -> bool {
        self.lease.is_some()
    }

    /// The transaction that this attempt runs in, for stores of one's own: those of this crate have
    /// `Attempt::transaction`. `None` outside of transaction mode, and once the attempt has ended.
    pub fn open_transaction(&self) -> Option<OpenTransaction> {
        self.transaction.as_ref().and_then(Lent::open)
    }

    /// Whether the lease is lost, or has lapsed because it could not be renewed. Another attempt may then run, or may
    /// have run; the answer of this one is kept only if none has begun.
    pub fn has_lost_lease(&self) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.lost.load(Ordering::Acquire))
    }

    /// Waits until the lease is lost, or has lapsed because it could not be renewed; for ever if that never happens.
    ///
    /// # Cancel safety
    ///
    /// A wait that is dropped loses nothing.
    pub async fn lease_lost(&self) {
        let Some(lease) = &self.lease else {
            return std::future::pending().await;
        };
        // Made before the look, it hears of a loss that comes in between.
        let told = lease.told.notified();
        if !lease.lost.load(Ordering::Acquire) {
            told.await;
        }
    }

    pub(crate) fn begin_settling(&self) {
        if let Some(lease) = &self.lease {
            lease.settling.store(true, Ordering::Release);
        }
    }

    pub(crate) fn is_settling(&self) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.settling.load(Ordering::Acquire))
    }

    /// Tells all who hold this attempt; whether it was news.
    pub(crate) fn lose_lease(&self) -> bool {
        let Some(lease) = &self.lease else {
            return false;
        };
        let is_news = !lease.lost.swap(true, Ordering::AcqRel);
        lease.told.notify_waiters();
        is_news
    }
}
