//! One guarded request, top to bottom.
//!
//! [`guard`] tells the story. It has five awaits, and each is a place where the process can die: read the body,
//! reserve the key, call the handler, capture its answer, settle the record. ARCHITECTURE.md says what a crash at
//! each of them means.

use std::any::Any;
use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tokio::time::Instant;
use tower_service::Service;
use tracing::Instrument;

use crate::attempt::Attempt;
use crate::body::{self, ReadError, ResponseBody};
use crate::config::{Class, Config, InFlight, OnAbandoned, OnFailed};
use crate::key::IdempotencyKey;
use crate::outcome::{KeptBody, Outcome};
use crate::rejection::Rejection;
use crate::response::{self, BrokenBody};
use crate::store::{
    ErrorKind, Lease, Record, Reservation, Reserve, Seen, Settlement, State, Store, StoreError,
};

/// Runs the operation once and keeps its answer; or replays the answer that was kept; or refuses.
pub(crate) async fn guard<S, St, ReqBody, ResBody>(
    mut inner: S,
    request: Request<ReqBody>,
    key: IdempotencyKey,
    config: Arc<Config>,
    store: Arc<St>,
) -> Result<Response<ResponseBody<ResBody>>, S::Error>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Send + 'static,
    S::Future: Send,
    S::Error: Send + 'static,
    St: Store,
    ReqBody: Body + From<Bytes> + Send + 'static,
    ResBody: Body<Data = Bytes> + Send + 'static,
    ResBody::Error: Send,
{
    let (mut parts, body) = request.into_parts();

    // Still in the caller's task: a client that hangs up in mid-upload takes this future with it and leaves nothing.
    let body = match body::read(body, config.max_request).await {
        Ok(body) => body,
        Err(ReadError::TooLarge) => {
            let limit = config.max_request;
            return Ok(config.refuse(Rejection::RequestTooLarge { limit }));
        }
        Err(ReadError::Broken(_)) => return Ok(config.refuse(Rejection::RequestUnreadable)),
    };
    let request_id = parts.headers.get(response::REQUEST_ID).cloned();
    let reserve = Reserve {
        key: config.storage_key(&parts, &key),
        fingerprint: config.fingerprint(&parts, &body),
        lease: config.lease,
        retention: config.pending_retention(),
        rerun_failed: config.on_failed == OnFailed::Rerun,
        rerun_abandoned: config.on_abandoned == OnAbandoned::Rerun,
    };

    // From here on in a task of its own: a client that hangs up does not stop what has begun.
    let operation = async move {
        let lease = match enter(&*store, &reserve, &config).await {
            Entry::Execute(lease) => lease,
            Entry::Replay(outcome) => {
                return Caught::Answered(response::replay(outcome, request_id));
            }
            Entry::Refuse(rejection) => return Caught::Answered(config.refuse(rejection)),
        };
        let held = Held { store: &*store, config: &config, lease: &lease };

        parts.extensions.insert(Attempt::new(key, lease.attempt, lease.previous));
        let request = Request::from_parts(parts, ReqBody::from(body));
        let call = catch_panic(async move { inner.call(request).await });
        let (head, body) = match held.renewed_during(call).await {
            Caught::Answered(answer) => answer.into_parts(),
            Caught::Erred(error) => {
                held.settle(Settle::Fail(None)).await;
                return Caught::Erred(error);
            }
            Caught::Panicked(panic) => {
                held.settle(Settle::Fail(None)).await;
                return Caught::Panicked(panic);
            }
        };

        let class = (config.classifier)(&head);
        let worth_keeping = match class {
            Class::Success => true,
            Class::Failed => config.on_failed == OnFailed::Replay,
            Class::Forget => false,
        };
        let limit = worth_keeping.then_some(config.max_response);
        let capture = response::capture(head, body, limit);
        let (mut answer, kept) = held.renewed_during(capture).await;

        let outcome = kept.map(|body| response::keep(&answer, request_id, body));
        let settle = match (class, outcome) {
            (Class::Forget, _) => Settle::Release,
            (Class::Success, Ok(outcome)) => Settle::Complete(outcome),
            (Class::Failed, Ok(outcome)) => Settle::Fail(Some(outcome)),
            (Class::Success | Class::Failed, Err(BrokenBody)) => Settle::Fail(None),
        };
        held.settle(settle).await;

        if config.mark_first {
            response::mark_first(&mut answer);
        }
        Caught::Answered(answer)
    };
    match own_task(operation).await {
        Caught::Answered(answer) => Ok(answer),
        Caught::Erred(error) => Err(error),
        Caught::Panicked(panic) => resume_unwind(panic),
    }
}

/// What a reservation entitles the request to.
enum Entry {
    Execute(Lease),
    Replay(Outcome),
    Refuse(Rejection),
}

/// Reserves the key; waits, if the layer was told to, while it is in flight.
async fn enter<St: Store>(store: &St, reserve: &Reserve, config: &Config) -> Entry {
    let bound = match config.in_flight {
        InFlight::Reject => Duration::ZERO,
        InFlight::Wait(bound) => bound,
    };
    let start = Instant::now();
    let mut round = 0;
    loop {
        let found = match within(config.store_timeout, store.reserve(reserve)).await {
            Ok(Reservation::Acquired(lease)) => return Entry::Execute(lease),
            Ok(Reservation::Found(record)) => decide(record, reserve, config.on_failed),
            Err(error) => return Entry::Refuse(unavailable(&error, reserve, config)),
        };
        let seen = match found {
            Decision::Replay(outcome) => return Entry::Replay(outcome),
            Decision::Refuse(rejection) => return Entry::Refuse(rejection),
            Decision::InFlight(seen) => seen,
        };
        let left = bound.saturating_sub(start.elapsed());
        if left.is_zero() {
            let retry_after = config.retry_after;
            return Entry::Refuse(Rejection::InFlight { retry_after });
        }
        // The store keeps to `left`; one that hangs is given as long again as any other operation.
        let patience = left.saturating_add(config.store_timeout);
        if let Err(error) = within(patience, store.changed(&seen, round, left)).await {
            return Entry::Refuse(unavailable(&error, reserve, config));
        }
        round += 1;
    }
}

#[derive(Debug)]
enum Decision {
    Replay(Outcome),
    Refuse(Rejection),
    InFlight(Seen),
}

/// What a record that was not taken over means for the request. The fingerprint comes first, whatever the state.
fn decide(found: Record, reserve: &Reserve, on_failed: OnFailed) -> Decision {
    if found.fingerprint != reserve.fingerprint {
        return Decision::Refuse(Rejection::KeyReused);
    }
    match found.state {
        State::Pending { abandoned: true } => Decision::Refuse(Rejection::OutcomeUnknown),
        State::Pending { abandoned: false } => {
            Decision::InFlight(Seen { key: reserve.key, token: found.token })
        }
        State::Success(Outcome { status, headers, body: KeptBody::NotRetained(_), .. }) => {
            Decision::Refuse(Rejection::ResultNotRetained {
                original_status: status,
                location: headers.get(http::header::LOCATION).cloned(),
            })
        }
        State::Success(outcome) => Decision::Replay(outcome),
        State::Failed(Some(outcome @ Outcome { body: KeptBody::Whole { .. }, .. }))
            if on_failed == OnFailed::Replay =>
        {
            Decision::Replay(outcome)
        }
        State::Failed(outcome) => Decision::Refuse(Rejection::AttemptFailed {
            original_status: outcome.map(|outcome| outcome.status),
        }),
    }
}

fn unavailable(error: &StoreError, reserve: &Reserve, config: &Config) -> Rejection {
    let source = std::error::Error::source(error);
    tracing::error!(key = %reserve.key, %error, source, "a guarded request was refused");
    Rejection::StoreUnavailable { kind: error.kind(), retry_after: config.retry_after }
}

/// A lease in hand: it is kept alive while the attempt runs, and settled when it has ended.
struct Held<'a, St> {
    store: &'a St,
    config: &'a Config,
    lease: &'a Lease,
}

/// How the attempt ended, for its record.
enum Settle {
    Complete(Outcome),
    Fail(Option<Outcome>),
    Release,
}

impl<St: Store> Held<'_, St> {
    /// Writes the end of the attempt into its record. The client gets its answer even if that cannot be done: it was
    /// earned, and the record then stays pending until its lease lapses.
    async fn settle(&self, settle: Settle) {
        let Self { store, config, lease } = self;
        let bound = config.store_timeout;
        let settlement = match &settle {
            Settle::Complete(outcome) => {
                within(bound, store.complete(lease, outcome, config.retention)).await
            }
            Settle::Fail(outcome) => {
                within(bound, store.fail(lease, outcome.as_ref(), config.retention)).await
            }
            Settle::Release => within(bound, store.release(lease)).await,
        };
        match settlement {
            Ok(Settlement::Applied) => {}
            Ok(Settlement::LeaseLost) => {
                tracing::warn!(key = %lease.key, "the lease was lost; the answer was not kept");
            }
            Err(error) => {
                let source = std::error::Error::source(&error);
                tracing::error!(key = %lease.key, %error, source, "the answer was not kept");
            }
        }
    }

    /// Waits for a part of the attempt, and renews the lease at every third of it meanwhile.
    async fn renewed_during<F: Future>(&self, part: F) -> F::Output {
        let mut part = pin!(part);
        let mut heartbeat = pin!(self.heartbeat());
        poll_fn(|cx| {
            let ended = part.as_mut().poll(cx);
            if ended.is_pending() {
                let _ = heartbeat.as_mut().poll(cx);
            }
            ended
        })
        .await
    }

    /// Renews the lease until it is lost. Never resolves.
    async fn heartbeat(&self) {
        let Self { store, config, lease } = self;
        loop {
            tokio::time::sleep(lease.lease / 3).await;
            match within(config.store_timeout, store.renew(lease)).await {
                Ok(Settlement::Applied) => {}
                Ok(Settlement::LeaseLost) => {
                    tracing::warn!(key = %lease.key, "the lease was lost while the attempt ran");
                    return pending().await;
                }
                // The next beat may get through before the lease lapses.
                Err(error) => tracing::warn!(key = %lease.key, %error, "the lease was not renewed"),
            }
        }
    }
}

/// How a call ended, so that the caller's task can end in the same way.
enum Caught<T, E> {
    Answered(T),
    Erred(E),
    Panicked(Box<dyn Any + Send>),
}

async fn catch_panic<T, E>(call: impl Future<Output = Result<T, E>>) -> Caught<T, E> {
    let mut call = pin!(call);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(Ok(answer))) => Poll::Ready(Caught::Answered(answer)),
        Ok(Poll::Ready(Err(error))) => Poll::Ready(Caught::Erred(error)),
        // The future is not polled again, so what the panic left half done stays out of sight.
        Err(panic) => Poll::Ready(Caught::Panicked(panic)),
    })
    .await
}

/// Runs `operation` to its end, whatever becomes of the caller, in the caller's span.
async fn own_task<T: Send + 'static>(operation: impl Future<Output = T> + Send + 'static) -> T {
    match tokio::spawn(operation.in_current_span()).await {
        Ok(ended) => ended,
        Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
        // The runtime is shutting down, and this task with it.
        Err(_) => pending().await,
    }
}

async fn within<T>(
    bound: Duration,
    operation: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(bound, operation).await {
        Ok(result) => result,
        Err(elapsed) => Err(StoreError::with_source(ErrorKind::Timeout, elapsed)),
    }
}
