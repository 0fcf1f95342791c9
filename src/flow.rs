//! One guarded request, top to bottom.
//!
//! [`guard`] and [`once`] tell the story. It has five awaits, and each is a place where the process can die: read the
//! body, reserve the key, call the handler, capture its answer, settle the record. ARCHITECTURE.md says what a crash at
//! each of them means.

use std::any::Any;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tokio::sync::oneshot;
use tower_service::Service;

use crate::attempt::Attempt;
use crate::body::{self, ReadError, ResponseBody};
use crate::config::{Class, Config, InFlight, Wanted};
use crate::grpc::Protocol;
use crate::key::IdempotencyKey;
use crate::outcome::Outcome;
use crate::rejection::Rejection;
use crate::response::{self, BrokenBody};
use crate::shared::Shared;
use crate::store::{ErrorKind, Lease, Store};
use crate::task::{self, Caught};
use crate::telemetry;

mod admit;
mod decide;
mod heartbeat;
mod held;
mod judge;
mod limits;

use admit::{Admitted, Reserved, admit};
use held::{Held, Settle, Settled};
use judge::judge;

/// Runs the operation once and keeps its answer; or replays the answer that was kept; or refuses.
pub(crate) async fn guard<S, St, ReqBody, ResBody>(
    mut inner: S,
    request: Request<ReqBody>,
    key: Option<IdempotencyKey>,
    config: Arc<Config>,
    shared: Arc<Shared<St>>,
) -> Result<Response<ResponseBody<ResBody>>, S::Error>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send + 'static,
    St: Store,
    ReqBody: Body + From<Bytes> + Send + 'static,
    ReqBody::Error: Into<Box<dyn Error + Send + Sync>>,
    ResBody: Body<Data = Bytes> + Send + 'static,
    ResBody::Error: Send,
{
    let (mut parts, body) = request.into_parts();
    let protocol = Protocol::of(&parts.headers);

    // Still in the caller's task: a client that hangs up in mid-upload takes this future with it and leaves nothing.
    let body = match body::read_or_drain(body, config.max_request, &parts).await {
        Ok(body) => body,
        Err(ReadError::TooLarge { limit }) => {
            return Ok(protocol.refuse(&config, Rejection::RequestTooLarge { limit }));
        }
        Err(ReadError::Broken) => return Ok(protocol.refuse(&config, Rejection::RequestUnreadable)),
    };
    let key = match config.key_of(key, &parts.headers, &body) {
        Ok(Some(key)) => key,
        Ok(None) if config.require_key => return Ok(protocol.refuse(&config, Rejection::KeyMissing)),
        Ok(None) => {
            let answer = inner.call(Request::from_parts(parts, ReqBody::from(body))).await?;
            return Ok(answer.map(ResponseBody::inner));
        }
        Err(error) => return Ok(protocol.refuse(&config, Rejection::KeyInvalid(error))),
    };
    let request_id = parts.headers.get(response::REQUEST_ID).cloned();
    let mut wanted = config.wanted(&parts, key, &body);

    // From here on in a task of its own: a client that hangs up does not stop what has begun. One that only waits for
    // another request's answer has begun nothing, and stops waiting.
    let (_caller, mut caller_gone) = caller(&config);
    let operation = async move {
        let mut retries = config.retry_conflicts;
        loop {
            let again = (retries > 0).then(|| (inner.clone(), parts.clone(), wanted.clone()));
            let body = body.clone();
            let call = |attempt: Attempt| async {
                let is_guarded = attempt.is_guarded();
                parts.extensions.insert(attempt);
                let answer = inner.call(Request::from_parts(parts, ReqBody::from(body))).await?;
                if !is_guarded {
                    return Ok(Done::unguarded(response::unguarded(answer)));
                }
                Ok(judge(answer, &config, &protocol, request_id.clone()).await)
            };
            return match once(&shared, &config, &mut wanted, caller_gone.take(), call).await {
                Ended::Answered(mut answer) => {
                    if config.mark_first {
                        response::mark_first(&mut answer);
                    }
                    Caught::Answered(answer)
                }
                Ended::Unguarded(answer) => Caught::Answered(answer),
                Ended::Replayed(outcome) => {
                    Caught::Answered(protocol.replayed(config.replay(outcome, request_id)))
                }
                Ended::Refused(rejection) => Caught::Answered(protocol.refuse(&config, rejection)),
                Ended::Conflict => {
                    let Some(again) = again else {
                        return Caught::Answered(protocol.refuse(&config, config.in_flight()));
                    };
                    retries -= 1;
                    (inner, parts, wanted) = again;
                    if let Err(error) = poll_fn(|cx| inner.poll_ready(cx)).await {
                        return Caught::Erred(error);
                    }
                    continue;
                }
                Ended::Erred(error) => Caught::Erred(error),
                Ended::Panicked(panic) => Caught::Panicked(panic),
            };
        }
    };
    match task::own_task(operation).await {
        Caught::Answered(answer) => Ok(answer),
        Caught::Erred(error) => Err(error),
        Caught::Panicked(panic) => resume_unwind(panic),
    }
}

/// Whoever waits for the operation, for as long as it is worth knowing.
pub(crate) fn caller(config: &Config) -> (Option<oneshot::Sender<()>>, Option<oneshot::Receiver<()>>) {
    matches!(config.in_flight, InFlight::Wait(_)).then(oneshot::channel).unzip()
}

/// What came of calling an operation.
pub(crate) struct Done<T> {
    pub(crate) answer: T,
    pub(crate) class: Class,
    pub(crate) outcome: Result<Outcome, BrokenBody>,
    /// How long it is kept.
    pub(crate) retention: Duration,
    /// Another transaction was in the way.
    pub(crate) conflict: bool,
}

impl<T> Done<T> {
    /// Nothing is kept of it.
    pub(crate) fn unguarded(answer: T) -> Self {
        Self {
            answer,
            class: Class::Forget,
            outcome: Err(BrokenBody),
            retention: Duration::ZERO,
            conflict: false,
        }
    }
}

/// How one operation ended for its caller.
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for a moment, and a box would cost more than the move"
)]
pub(crate) enum Ended<T, E> {
    Answered(T),
    Unguarded(T),
    Replayed(Outcome),
    Refused(Rejection),
    Conflict,
    Erred(E),
    Panicked(Box<dyn Any + Send>),
}

/// The protocol around one operation, of whatever kind: reserve the key, run it, settle the record.
pub(crate) async fn once<St, T, E, F>(
    shared: &Arc<Shared<St>>,
    config: &Arc<Config>,
    wanted: &mut Wanted,
    caller_gone: Option<oneshot::Receiver<()>>,
    operation: impl FnOnce(Attempt) -> F,
) -> Ended<T, E>
where
    St: Store,
    F: Future<Output = Result<Done<T>, E>>,
{
    let Some(_running) = shared.running.enter() else {
        return Ended::Refused(config.shutting_down());
    };
    let key = wanted.key.clone();
    let (admitted, has_waited) = task::noting(admit(shared, config, wanted, caller_gone)).await;
    let reserved = match admitted {
        Admitted::Execute(reserved) => reserved,
        Admitted::Replay(outcome) => {
            telemetry::request("replayed");
            return Ended::Replayed(outcome);
        }
        Admitted::Refuse(rejection) => return Ended::Refused(rejection),
        Admitted::Unguarded(_permit) => {
            telemetry::request("unguarded");
            let done = operation(Attempt::unguarded(key)).await;
            return done.map_or_else(Ended::Erred, |done| Ended::Unguarded(done.answer));
        }
    };

    telemetry::request("executed");
    let attempt = begin(key, &reserved);
    let record = Held::new(shared, config, attempt.clone(), reserved);
    if has_waited {
        // Other processes may share the store, and the handler may block its thread from the first.
        record.keep_alive();
    }
    let done = match record.renewed_during(task::catch_panic(operation(attempt))).await {
        Caught::Answered(done) => done,
        Caught::Erred(error) => {
            record.settle(Settle::Fail(None, config.retention)).await;
            return Ended::Erred(error);
        }
        Caught::Panicked(panic) => {
            record.settle(Settle::Fail(None, config.retention)).await;
            return Ended::Panicked(panic);
        }
    };
    if done.conflict && record.is_transaction() {
        record.settle(Settle::Release).await;
        return Ended::Conflict;
    }

    let settle = match (done.class, done.outcome) {
        (Class::Forget, _) => Settle::Release,
        (Class::Success, Ok(outcome)) => Settle::Complete(outcome, done.retention),
        (Class::Failed, Ok(outcome)) => Settle::Fail(Some(outcome), done.retention),
        (Class::Success | Class::Failed, Err(BrokenBody)) => Settle::Fail(None, done.retention),
    };
    let counts = matches!(settle, Settle::Complete(..));
    match record.settle(settle).await {
        Settled::Lost => {
            if let Some(outcome) = record.overtaken_by().await {
                return Ended::Replayed(outcome);
            }
        }
        Settled::NotCommitted(ErrorKind::Conflict) => return Ended::Conflict,
        Settled::NotCommitted(kind) if counts => return Ended::Refused(config.not_committed(kind)),
        Settled::Kept | Settled::NotCommitted(_) => {}
    }
    Ended::Answered(done.answer)
}

/// What the handler is told of the attempt; an operator is told when it is not the first.
fn begin(key: IdempotencyKey, reserved: &Reserved) -> Attempt {
    let Lease { key: storage_key, attempt, previous, transaction, .. } = &reserved.lease;
    telemetry::attempt(*previous);
    if let Some(previous) = previous {
        tracing::info!(key = %storage_key, attempt, ?previous, "an operation runs again");
    }
    Attempt::new(key, *attempt, *previous, transaction.as_ref())
}
