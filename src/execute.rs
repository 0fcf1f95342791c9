//! [`IdempotencyLayer::execute`]: the same protocol for any operation, also outside of HTTP.

use std::fmt;
use std::future::Future;
use std::panic::resume_unwind;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::{Instrument, Span};

use crate::flow::requested::Requested;
use crate::flow::{self, Done, Ended, Failure, Run};
use crate::handler::attempt::Attempt;
use crate::http::class::ResponseClass;
use crate::http::rejection::Rejection;
use crate::http::response::{BrokenBody, StoredResponse};
use crate::layer::IdempotencyLayer;
use crate::record::fingerprint::Fingerprint;
use crate::record::key::{IdempotencyKey, Scope};
use crate::record::outcome::{NotRetained, Outcome, StoredBody};
use crate::runtime::task::{self, Caught, Stage};
use crate::settings::Config;
use crate::store::Store;

impl<St: Store> IdempotencyLayer<St> {
    /// Runs an operation once for its key, and returns its result to every retry. Use it for a
    /// queue message that is delivered twice, or for a job that is started again.
    ///
    /// The protocol is the one for requests. The settings of this layer apply if they are not
    /// specific to HTTP: store, namespace, secret, lease, retention, policies, and
    /// [`shutdown`](Self::shutdown).
    ///
    /// The layer stores the result as JSON, up to [`max_response`](Self::max_response) bytes. An
    /// operation that returns an error has failed. Only this caller gets the error. The next call
    /// runs the operation again, unless [`on_failed`](Self::on_failed) says otherwise.
    ///
    /// `fingerprint` identifies the operation, so that a different one under the same key is
    /// rejected. [`Fingerprint::of_fields`] digests the fields that distinguish two operations.
    ///
    /// ```
    /// use tower_idempotency::{Attempt, Fingerprint, IdempotencyKey, IdempotencyLayer, MemoryStore, Scope};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let payouts = IdempotencyLayer::new(MemoryStore::new()).namespace("payouts");
    ///
    /// let key = IdempotencyKey::parse(b"message-1001")?;
    /// let message = br#"{"to":"acct_2","amount":1200}"#;
    /// for delivery in 0..2 {
    ///     let payout = payouts
    ///         .execute(&Scope::new("acct_1"), &key, Fingerprint::of_fields([message]), |_: Attempt| async {
    ///             Ok::<_, std::io::Error>("payout_7".to_owned())
    ///         })
    ///         .await?;
    ///     assert_eq!(payout.value, "payout_7");
    ///     assert_eq!(payout.is_replay, delivery == 1);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Do not use [`Scope::anonymous`] here. The memory store drops its records after 10 minutes,
    /// so a message that is delivered again later runs a second time. All anonymous operations also
    /// share 1 % of that store. A named scope has 10 %. If there is only one scope, raise
    /// [`scope_share`](crate::MemoryStore::scope_share).
    ///
    /// In transaction mode the operation takes its transaction from the attempt
    /// ([`Attempt::transaction`](Attempt)), and gives it back before it ends.
    ///
    /// # Conflicts
    ///
    /// Conflicts occur in transaction mode only. In lease mode a deadlock is an ordinary error: the
    /// attempt has failed, and the next call runs the operation again.
    ///
    /// The operation may conflict with another transaction: a serialization failure or a deadlock.
    /// The store then rolls everything back and records nothing. The operation runs again, as often
    /// as [`retry_conflicts`](Self::retry_conflicts) says. After that the call is rejected as
    /// [`Rejection::InFlight`]; call it again.
    ///
    /// The layer finds the conflict at the commit, and in an error of the type `sqlx::Error`,
    /// [`TxError`](crate::store) or [`Conflict`](crate::store::Conflict). It also finds it in a
    /// `Box<dyn Error + Send + Sync>` that has one of them among its sources.
    ///
    /// The layer does not read your own error enums, even with `#[from] sqlx::Error`. Call
    /// [`Attempt::report_conflict`] for them.
    ///
    /// The operation may run again, so it must not move its captures out. It clones them for each
    /// run:
    ///
    /// ```
    /// # use tower_idempotency::{Attempt, Fingerprint, IdempotencyKey, IdempotencyLayer, MemoryStore, Scope};
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// # let payouts = IdempotencyLayer::new(MemoryStore::new());
    /// # let (scope, key) = (Scope::new("payouts"), IdempotencyKey::parse(b"message-1001")?);
    /// # let fingerprint = Fingerprint::of_fields([b"message"]);
    /// let account = "acct_2".to_owned();
    /// let operation = move |_: Attempt| {
    ///     let account = account.clone();
    ///     async move { Ok::<_, std::io::Error>(format!("paid out to {account}")) }
    /// };
    /// let payout = payouts.execute(&scope, &key, fingerprint, operation).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ExecuteError`] distinguishes a failed operation from a rejected call.
    ///
    /// # Panics
    ///
    /// A panic of the operation is recorded as a failure, and then continues in the caller.
    ///
    /// # Cancel safety
    ///
    /// An operation that has begun runs to its end, and the layer stores its result, even if the
    /// future is dropped.
    pub async fn execute<T, E, F>(
        &self,
        scope: &Scope,
        key: &IdempotencyKey,
        fingerprint: Fingerprint,
        mut operation: impl FnMut(Attempt) -> F + Send + 'static,
    ) -> Result<Executed<T>, ExecuteError<E>>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
        E: Send + 'static,
        F: Future<Output = Result<T, E>> + Send,
    {
        let (config, shared) = (Arc::clone(&self.config), Arc::clone(&self.shared));
        self.prepare_store();
        let mut requested = config.requested(scope.clone(), key.clone(), fingerprint);
        let span = flow::observed::span(None).unwrap_or_else(Span::current);
        span.in_scope(|| flow::observed::begins(&requested.reserve));
        let (_caller, mut caller_gone) = flow::caller(&config);
        // It becomes a task as soon as it waits. A caller may poll this future seldom, and requests
        // that wait for the key must not wait for the caller.
        let stage = Stage::default();
        stage.begins();
        let run = async move {
            let mut retries = config.policies.retry_conflicts;
            let ended = loop {
                let again = (retries > 0).then(|| requested.clone());
                let (operation, config) = (&mut operation, &config);
                let call = move |run: Run| async move {
                    let value = operation(run.attempt).await.map_err(Failure::Erred)?;
                    Ok(done(value, config))
                };
                match (
                    flow::once(&shared, config, &mut requested, caller_gone.take(), call).await,
                    again,
                ) {
                    (Ended::Conflict, Some(again)) => {
                        retries -= 1;
                        requested = Requested { is_counted: true, ..again };
                    }
                    (ended, _) => {
                        flow::told(&shared, config, &requested, &ended);
                        break ended;
                    }
                }
            };
            match ended {
                Ended::Responded(value)
                | Ended::Abandoned(value)
                | Ended::Unguarded(value)
                | Ended::Nested(value) => Caught::Completed(value.map(Executed::first)),
                Ended::Replayed(outcome) => Caught::Completed(Executed::replay(&outcome)),
                Ended::Rejected(rejection) => {
                    Caught::Completed(Err(ExecuteError::Rejected(rejection)))
                }
                Ended::Conflict => {
                    Caught::Completed(Err(ExecuteError::Rejected(config.in_flight())))
                }
                Ended::Erred(error) => Caught::Erred(error),
                Ended::Panicked(panic) => Caught::Panicked(panic),
            }
        };
        match task::own_task(run, stage).instrument(span).await {
            Caught::Completed(executed) => executed,
            Caught::Erred(error) => Err(ExecuteError::Failed(error)),
            Caught::Panicked(panic) => resume_unwind(panic),
        }
    }
}

/// A result that cannot be written as JSON cannot be replayed. So this caller gets an error too:
/// the attempt has failed, and in transaction mode it is rolled back.
fn done<T: Serialize, E>(value: T, config: &Config) -> Done<Result<T, ExecuteError<E>>> {
    let (retention, conflict) = (config.retention, Some(false));
    let (response, class, outcome) = match stored_outcome(&value, config) {
        Ok(outcome) => (Ok(value), ResponseClass::Success, Ok(outcome)),
        Err(error) => (Err(ExecuteError::Serialize(error)), ResponseClass::Failed, Err(BrokenBody)),
    };
    Done { response, class, outcome, retention, conflict }
}

fn stored_outcome<T: Serialize>(value: &T, config: &Config) -> Result<Outcome, serde_json::Error> {
    let json = serde_json::to_vec(value)?;
    let body = if config.stored.level != StoredResponse::Full {
        // A retry needs the whole value. A part of it is useless.
        StoredBody::NotRetained(NotRetained::Withheld)
    } else if json.len() > config.max_response {
        StoredBody::NotRetained(NotRetained::TooLarge)
    } else {
        StoredBody::Whole { bytes: Bytes::from(json), trailers: None }
    };
    let mut headers = HeaderMap::with_capacity(1);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(Outcome { status: StatusCode::OK, headers, request_id: None, body })
}

/// The result of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Executed<T> {
    /// The value that the operation returned.
    pub value: T,
    /// Whether an earlier call ran the operation.
    pub is_replay: bool,
}

impl<T> Executed<T> {
    /// A result, for tests of code that uses [`execute`](IdempotencyLayer::execute).
    pub fn new(value: T, is_replay: bool) -> Self {
        Self { value, is_replay }
    }
}

impl<T: DeserializeOwned> Executed<T> {
    fn first(value: T) -> Self {
        Self { value, is_replay: false }
    }

    fn replay<E>(outcome: &Outcome) -> Result<Self, ExecuteError<E>> {
        let value = serde_json::from_slice(outcome.bytes()).map_err(ExecuteError::Deserialize)?;
        Ok(Self { value, is_replay: true })
    }
}

/// Why [`execute`](IdempotencyLayer::execute) returned no result.
#[derive(Debug)]
#[non_exhaustive]
pub enum ExecuteError<E> {
    /// The operation ran and failed with this error.
    Failed(E),
    /// The operation was not run, or not committed.
    Rejected(Rejection),
    /// An earlier call ran the operation, and its stored result has another type than this call
    /// expects.
    Deserialize(serde_json::Error),
    /// The operation ran, and its result cannot be written as JSON. The attempt has failed. In
    /// transaction mode it is rolled back.
    Serialize(serde_json::Error),
}

impl<E> fmt::Display for ExecuteError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failed(_) => "the operation failed",
            Self::Rejected(_) => "the operation was rejected",
            Self::Serialize(_) => "the result of the operation cannot be stored as JSON",
            Self::Deserialize(_) => "the stored result of the operation has another type",
        })
    }
}

impl<E: std::error::Error + 'static> std::error::Error for ExecuteError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Rejected(rejection) => Some(rejection),
            Self::Deserialize(error) | Self::Serialize(error) => Some(error),
        }
    }
}

#[cfg(test)]
mod tests;
