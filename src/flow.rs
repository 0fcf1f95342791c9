//! One guarded request, top to bottom.
//!
//! [`guard`] tells the story. It has five awaits, and each is a place where the process can die: read the body,
//! reserve the key, call the handler, capture its answer, settle the record. ARCHITECTURE.md says what a crash at
//! each of them means.

use std::error::Error;
use std::future::Future;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, header};
use http_body::Body;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tower_service::Service;

use crate::attempt::Attempt;
use crate::body::{self, ReadError, ResponseBody};
use crate::config::{Class, Config, InFlight, OnAbandoned, OnFailed};
use crate::key::IdempotencyKey;
use crate::outcome::{KeptBody, Outcome};
use crate::rejection::Rejection;
use crate::response::{self, BrokenBody};
use crate::store::{
    ErrorKind, Lease, Record, Rerun, Reservation, Reserve, Seen, Settlement, State, Store, StoreError,
};
use crate::task::{self, Caught};

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
    ReqBody::Error: Into<Box<dyn Error + Send + Sync>>,
    ResBody: Body<Data = Bytes> + Send + 'static,
    ResBody::Error: Send,
{
    let (mut parts, body) = request.into_parts();

    // Still in the caller's task: a client that hangs up in mid-upload takes this future with it and leaves nothing.
    let body = match body::read(body, config.max_request).await {
        Ok(body) => body,
        Err(ReadError::TooLarge { limit }) => return Ok(config.refuse(Rejection::RequestTooLarge { limit })),
        Err(ReadError::Broken) => return Ok(config.refuse(Rejection::RequestUnreadable)),
    };
    let request_id = parts.headers.get(response::REQUEST_ID).cloned();
    let reserve = Reserve {
        key: config.storage_key(&parts, &key),
        fingerprint: config.fingerprint(&parts, &body),
        lease: config.lease,
        retention: config.pending_retention(),
        rerun_failed: if config.on_failed == OnFailed::Rerun { Rerun::Any } else { Rerun::Never },
        rerun_abandoned: config.on_abandoned == OnAbandoned::Rerun,
    };

    // From here on in a task of its own: a client that hangs up does not stop what has begun. One that only waits for
    // another request's answer has begun nothing, and stops waiting.
    let (_caller, caller_gone) = oneshot::channel();
    let operation = async move {
        let lease = match admit(&*store, reserve, &config, caller_gone).await {
            Admitted::Execute(lease) => lease,
            Admitted::Replay(outcome) => return Caught::Answered(response::replay(outcome, request_id)),
            Admitted::Refuse(rejection) => return Caught::Answered(config.refuse(rejection)),
        };
        let record = Held { store: &*store, config: &config, lease: &lease };

        parts.extensions.insert(Attempt::new(key, lease.attempt, lease.previous));
        let request = Request::from_parts(parts, ReqBody::from(body));
        let attempt = task::catch_panic(async {
            let (head, body) = inner.call(request).await?.into_parts();
            let class = (config.classifier)(&head);
            let captured = response::capture(head, body, config.kept_bytes(class)).await;
            Ok((class, captured))
        });
        let (class, (mut answer, kept)) = match record.renewed_during(attempt).await {
            Caught::Answered(answered) => answered,
            Caught::Erred(error) => {
                record.settle(Settle::Fail(None)).await;
                return Caught::Erred(error);
            }
            Caught::Panicked(panic) => {
                record.settle(Settle::Fail(None)).await;
                return Caught::Panicked(panic);
            }
        };

        let outcome = kept.map(|body| response::keep(&answer, request_id, body));
        let settle = match (class, outcome) {
            (Class::Forget, _) => Settle::Release,
            (Class::Success, Ok(outcome)) => Settle::Complete(outcome),
            (Class::Failed, Ok(outcome)) => Settle::Fail(Some(outcome)),
            (Class::Success | Class::Failed, Err(BrokenBody)) => Settle::Fail(None),
        };
        record.settle(settle).await;

        if config.mark_first {
            response::mark_first(&mut answer);
        }
        Caught::Answered(answer)
    };
    match task::own_task(operation).await {
        Caught::Answered(answer) => Ok(answer),
        Caught::Erred(error) => Err(error),
        Caught::Panicked(panic) => resume_unwind(panic),
    }
}

/// What a reservation entitles the request to.
enum Admitted {
    Execute(Lease),
    Replay(Outcome),
    Refuse(Rejection),
}

/// Reserves the key; waits, if the layer was told to, while it is in flight and the caller is there.
async fn admit<St: Store>(
    store: &St,
    mut reserve: Reserve,
    config: &Config,
    mut caller_gone: oneshot::Receiver<()>,
) -> Admitted {
    let bound = match config.in_flight {
        InFlight::Reject => Duration::ZERO,
        InFlight::Wait(bound) => bound,
    };
    let mut waiting_since = None;
    let mut round = 0;
    loop {
        let found = match within(config.store_timeout, store.reserve(&reserve)).await {
            Ok(Reservation::Acquired(lease)) => return Admitted::Execute(lease),
            Ok(Reservation::Found(record)) => decide(record, &reserve, config),
            Err(error) => return Admitted::Refuse(unavailable(&error, &reserve, config)),
        };
        let seen = match found {
            Decision::Replay(outcome) => return Admitted::Replay(outcome),
            Decision::Refuse(rejection) => return Admitted::Refuse(rejection),
            Decision::InFlight(seen) => seen,
        };
        let since = *waiting_since.get_or_insert_with(Instant::now);
        // When the attempt that a crowd waits for fails, one of them runs it again. If that fails too, the rest do not
        // try in turn.
        if reserve.rerun_failed == Rerun::Any {
            reserve.rerun_failed = Rerun::Only(seen.token);
        }
        let left = bound.saturating_sub(since.elapsed());
        if left.is_zero() {
            return Admitted::Refuse(config.in_flight());
        }
        // The store keeps to `left`; one that hangs is given as long again as any other operation.
        let patience = left.saturating_add(config.store_timeout);
        let changed = within(patience, store.changed(&seen, round, left));
        match task::unless(&mut caller_gone, changed).await {
            Some(Ok(())) => {}
            Some(Err(error)) => return Admitted::Refuse(unavailable(&error, &reserve, config)),
            None => return Admitted::Refuse(config.in_flight()),
        }
        round += 1;
    }
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for a moment, and a box would cost more than the move"
)]
enum Decision {
    Replay(Outcome),
    Refuse(Rejection),
    InFlight(Seen),
}

/// What a record that was not taken over means for the request. The fingerprint comes first, whatever the state.
fn decide(found: Record, reserve: &Reserve, config: &Config) -> Decision {
    if found.fingerprint != reserve.fingerprint {
        return Decision::Refuse(Rejection::KeyReused);
    }
    match found.state {
        State::Pending { abandoned: false } => {
            Decision::InFlight(Seen { key: reserve.key, token: found.token })
        }
        State::Pending { abandoned: true } => Decision::Refuse(Rejection::OutcomeUnknown),
        State::Success(Outcome { status, headers, body: KeptBody::NotRetained(_), .. }) => {
            Decision::Refuse(Rejection::ResultNotRetained {
                original_status: status,
                location: headers.get(header::LOCATION).cloned(),
            })
        }
        State::Success(outcome) => Decision::Replay(outcome),
        State::Failed(outcome) => match (config.on_failed, outcome) {
            // It failed while this request waited for it; the next one runs it again.
            (OnFailed::Rerun, _) => Decision::Refuse(config.in_flight()),
            (OnFailed::Replay, Some(outcome @ Outcome { body: KeptBody::Whole { .. }, .. })) => {
                Decision::Replay(outcome)
            }
            (_, outcome) => Decision::Refuse(Rejection::AttemptFailed {
                original_status: outcome.map(|outcome| outcome.status),
            }),
        },
    }
}

fn unavailable(error: &StoreError, reserve: &Reserve, config: &Config) -> Rejection {
    let source = Error::source(error);
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
                let source = Error::source(&error);
                tracing::error!(key = %lease.key, %error, source, "the answer was not kept");
            }
        }
    }

    /// Waits for a part of the attempt, and keeps the lease alive meanwhile.
    fn renewed_during<F: Future>(&self, part: F) -> impl Future<Output = F::Output> {
        task::beside(part, || self.heartbeat())
    }

    /// Renews the lease at every third of it, until it is lost.
    async fn heartbeat(&self) {
        let Self { store, config, lease } = self;
        let beat = lease.lease / 3;
        let mut pause = beat;
        loop {
            tokio::time::sleep(pause).await;
            // A renewal that takes longer than a beat is of no use, and must not keep the next one from being sent.
            pause = match within(config.store_timeout.min(beat), store.renew(lease)).await {
                Ok(Settlement::Applied) => beat,
                Ok(Settlement::LeaseLost) => {
                    tracing::warn!(key = %lease.key, "the lease was lost while the attempt ran");
                    return;
                }
                Err(error) => {
                    tracing::warn!(key = %lease.key, %error, "the lease was not renewed");
                    beat / 4
                }
            };
        }
    }
}

async fn within<T>(
    bound: Duration,
    operation: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    task::within(bound, operation).await.unwrap_or_else(|| Err(StoreError::new(ErrorKind::Timeout)))
}

#[cfg(test)]
mod tests;
