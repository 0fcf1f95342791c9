//! One guarded request, top to bottom.
//!
//! [`guard`] tells the story. It has five awaits, and each is a place where the process can die: read the body,
//! reserve the key, call the handler, capture its answer, settle the record. ARCHITECTURE.md says what a crash at
//! each of them means.

use std::error::Error;
use std::panic::resume_unwind;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tokio::sync::oneshot;
use tower_service::Service;

use crate::attempt::Attempt;
use crate::body::{self, ReadError, ResponseBody};
use crate::config::{Class, Config, InFlight};
use crate::key::IdempotencyKey;
use crate::rejection::Rejection;
use crate::response::{self, BrokenBody};
use crate::shared::Shared;
use crate::store::{Lease, Store};
use crate::task::{self, Caught};
use crate::telemetry;

mod admit;
mod decide;
mod heartbeat;
mod held;

use admit::{Admitted, Reserved, admit};
use held::{Held, Settle, Settled};

/// Runs the operation once and keeps its answer; or replays the answer that was kept; or refuses.
pub(crate) async fn guard<S, St, ReqBody, ResBody>(
    mut inner: S,
    request: Request<ReqBody>,
    key: IdempotencyKey,
    config: Arc<Config>,
    shared: Arc<Shared<St>>,
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
    let reserve = config.reserve(&parts, &key, &body);

    // From here on in a task of its own: a client that hangs up does not stop what has begun. One that only waits for
    // another request's answer has begun nothing, and stops waiting.
    let waits = matches!(config.in_flight, InFlight::Wait(_));
    let (_caller, caller_gone) = waits.then(oneshot::channel).unzip();
    let operation = async move {
        let Some(_running) = shared.running.enter() else {
            return Caught::Answered(config.refuse(config.shutting_down()));
        };
        let (admitted, has_waited) = task::noting(admit(&shared, &config, reserve, caller_gone)).await;
        let reserved = match admitted {
            Admitted::Execute(reserved) => reserved,
            Admitted::Replay(outcome) => {
                telemetry::request("replayed");
                return Caught::Answered(response::replay(outcome, request_id));
            }
            Admitted::Refuse(rejection) => return Caught::Answered(config.refuse(rejection)),
            Admitted::Unguarded => {
                telemetry::request("unguarded");
                parts.extensions.insert(Attempt::unguarded(key));
                let answered = inner.call(Request::from_parts(parts, ReqBody::from(body))).await;
                return answered
                    .map_or_else(Caught::Erred, |answer| Caught::Answered(response::unguarded(answer)));
            }
        };

        telemetry::request("executed");
        let attempt = begin(key, &reserved);
        parts.extensions.insert(attempt.clone());
        let record = Held::new(&shared, &config, attempt, reserved);
        if has_waited {
            // Other processes may share the store, and the handler may block its thread from the first.
            record.keep_alive();
        }
        let request = Request::from_parts(parts, ReqBody::from(body));
        let execution = task::catch_panic(async {
            let (head, body) = inner.call(request).await?.into_parts();
            let class = (config.classifier)(&head);
            let captured = response::capture(head, body, config.kept_bytes(class)).await;
            Ok((class, captured))
        });
        let (class, (mut answer, kept)) = match record.renewed_during(execution).await {
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

        let outcome = kept.map(|body| response::keep(&answer, request_id.clone(), body));
        let settle = match (class, outcome) {
            (Class::Forget, _) => Settle::Release,
            (Class::Success, Ok(outcome)) => Settle::Complete(outcome),
            (Class::Failed, Ok(outcome)) => Settle::Fail(Some(outcome)),
            (Class::Success | Class::Failed, Err(BrokenBody)) => Settle::Fail(None),
        };
        if let Settled::Lost = record.settle(settle).await
            && let Some(outcome) = record.overtaken_by().await
        {
            return Caught::Answered(response::replay(outcome, request_id));
        }

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

/// What the handler is told of the attempt; an operator is told when it is not the first.
fn begin(key: IdempotencyKey, reserved: &Reserved) -> Attempt {
    let Lease { key: storage_key, attempt, previous, .. } = &reserved.lease;
    telemetry::attempt(*previous);
    if let Some(previous) = previous {
        tracing::info!(key = %storage_key, attempt, ?previous, "an operation runs again");
    }
    Attempt::new(key, *attempt, *previous)
}
