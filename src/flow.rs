//! One guarded request, top to bottom.
//!
//! Start with [`guard`] and [`once`](once()). A guarded request has five awaits, and the process
//! can crash at each of them:
//!
//! 1. read the body,
//! 2. reserve the key,
//! 3. call the handler,
//! 4. capture its response,
//! 5. settle the record.
//!
//! ARCHITECTURE.md describes the effect of each crash.

use std::error::Error;
use std::future::poll_fn;
use std::panic::resume_unwind;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Request, Response, Version, header};
use http_body::Body;
use tower_service::Service;

use crate::flow::requested::Requested;
use crate::flow::running::Running;
use crate::flow::shared::Shared;
use crate::handler::without_key::WithoutKey;
use crate::http::body::{self, ReadError, ResponseBody};
use crate::http::grpc::Protocol;
use crate::http::rejection::Rejection;
use crate::http::{response, route};
use crate::record::key::IdempotencyKey;
use crate::runtime::task::{Caught, Stage, own_task};
use crate::settings::Config;
use crate::store::Store;

mod admission;
mod beat;
mod decide;
mod departure;
pub(crate) mod events;
mod judge;
mod kind;
mod lapsed;
mod lease;
mod line;
mod nested;
pub(crate) mod observed;
mod once;
mod permit;
mod policy;
mod renewals;
pub(crate) mod requested;
mod reserve;
mod running;
mod settle;
pub(crate) mod shared;
#[cfg(feature = "metrics")]
pub(crate) mod telemetry;
#[cfg(not(feature = "metrics"))]
#[path = "flow/telemetry/off.rs"]
pub(crate) mod telemetry;
mod waiting;

#[cfg(fuzzing)]
pub(crate) use decide::decided;
use departure::Departure;
use judge::{judge, warn_of_missing_route};
use nested::is_nested;
use once::GuardedBy;
pub(crate) use once::{Done, Ended, Failure, Run, caller, once, told};

/// Runs the operation once and stores its response, replays the stored response, or rejects the
/// request.
pub(crate) fn guard<S, St, ReqBody, ResBody>(
    mut inner: S,
    request: Request<ReqBody>,
    key: Option<IdempotencyKey>,
    config: Arc<Config>,
    shared: Arc<Shared<St>>,
) -> impl Future<Output = Result<Response<ResponseBody<ResBody>>, S::Error>> + Send
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send + 'static,
    St: Store,
    ReqBody: Body + From<Bytes> + Send + 'static,
    ReqBody::Data: Send,
    ReqBody::Error: Into<Box<dyn Error + Send + Sync>>,
    ResBody: Body<Data = Bytes> + Send + 'static,
    ResBody::Error: Send,
{
    let (mut parts, body) = request.into_parts();
    let protocol = Protocol::of(&parts.headers);
    let (caller, mut caller_gone) = caller(&config);
    let stage = Stage::default();
    let departure = Departure::of(&config.warned, &stage);
    let own_stage = stage.clone();

    let flow = async move {
        // If the client hangs up during the upload, the flow ends and leaves nothing behind.
        let Prepared { mut body, requested } = match prepare(&parts, body, key, &config).await {
            Ok(prepared) => prepared,
            Err(rejection) => {
                observed::ended(None, rejection.code());
                // The client still sends its body, so its connection cannot carry another request.
                let is_last =
                    rejection == Rejection::RequestTimeout && parts.version <= Version::HTTP_11;
                let mut response = config.reject(&protocol, rejection);
                if is_last {
                    response
                        .headers_mut()
                        .insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                return Caught::Completed(response);
            }
        };
        if requested.is_none() {
            parts.extensions.insert(WithoutKey);
        }
        let mut requested = match requested {
            Some(requested) if !is_nested(&shared, &config, &requested).await => requested,
            // The request has no key, or an outer layer guards it. It then ends with its caller.
            _ => return pass(inner, Request::from_parts(parts, ReqBody::from(body))).await,
        };
        let request_id = parts.headers.get(response::REQUEST_ID).cloned();
        observed::begins(&requested.reserve);

        // From here on a client that hangs up does not stop the flow. Only a request that waits for
        // the response of another one stops waiting.
        own_stage.outlives_caller();
        if caller_gone.is_some() {
            // Others may wait for this request, so it must not wait for a caller that polls seldom.
            own_stage.begins();
        }
        let mut retries = config.policies.retry_conflicts;
        loop {
            let again = (retries > 0)
                .then(|| Box::new((inner.clone(), parts.clone(), body.clone(), requested.clone())));
            let request = Request::from_parts(parts, body);
            let running = &shared.running;
            let attempt = |run| {
                own_stage.begins();
                call(run, inner, request, running, &config, &protocol, request_id.as_ref())
            };
            match (once(&shared, &config, &mut requested, caller_gone.take(), attempt).await, again)
            {
                (Ended::Conflict, Some(again)) => {
                    retries -= 1;
                    (inner, parts, body, requested) = *again;
                    requested.is_counted = true;
                }
                (ended, _) => {
                    told(&shared, &config, &requested, &ended);
                    return ended.into_response(&config, &protocol, request_id);
                }
            }
        }
    };

    let flow = own_task(flow, stage);
    async move {
        let _caller = caller;
        let ended = flow.await;
        departure.responded();
        match ended {
            Caught::Completed(response) => Ok(response),
            Caught::Erred(error) => Err(error),
            Caught::Panicked(panic) => resume_unwind(panic),
        }
    }
}

/// Passes a request to the handler without a record.
async fn pass<S, ReqBody, ResBody>(
    mut inner: S,
    request: Request<ReqBody>,
) -> Caught<Response<ResponseBody<ResBody>>, S::Error>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: Body,
{
    if let Err(error) = ready(&mut inner).await {
        return Caught::Erred(error);
    }
    match inner.call(request).await {
        Ok(response) => Caught::Completed(response.map(ResponseBody::inner)),
        Err(error) => Caught::Erred(error),
    }
}

/// A request after its body was read.
struct Prepared {
    body: Bytes,
    /// `None` if the request has no key and needs none.
    requested: Option<Box<Requested>>,
}

/// The first await: reads the body, and determines which operation the request asks for.
async fn prepare<B>(
    parts: &Parts,
    body: B,
    key: Option<IdempotencyKey>,
    config: &Config,
) -> Result<Prepared, Rejection>
where
    B: Body,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let body = match body::read_or_drain(body, config.max_request, config.body_timeout, parts).await
    {
        Ok(body) => body,
        Err(ReadError::TooLarge { limit }) => return Err(Rejection::RequestTooLarge { limit }),
        Err(ReadError::Broken) => return Err(Rejection::RequestUnreadable),
        Err(ReadError::Stalled) => return Err(Rejection::RequestTimeout),
    };
    let key = config.key_of(key, &parts.headers, &body).map_err(Rejection::KeyInvalid)?;
    if key.is_none() && config.require_key {
        return Err(config.key_missing());
    }
    let requested = key.map(|key| config.requested_by(parts, key, &body)).transpose()?;
    Ok(Prepared { body, requested: requested.map(Box::new) })
}

/// The third and the fourth await: calls the handler and captures its response.
#[expect(clippy::manual_async_fn, reason = "an async fn would store its arguments twice")]
fn call<S, ReqBody, ResBody>(
    Run { attempt, guarded_by }: Run,
    mut inner: S,
    mut request: Request<Bytes>,
    running: &Running,
    config: &Config,
    protocol: &Protocol,
    request_id: Option<&HeaderValue>,
) -> impl Future<Output = Result<Done<Response<ResponseBody<ResBody>>>, Failure<S::Error>>> + Send
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Send,
    S::Future: Send,
    S::Error: Send,
    ReqBody: From<Bytes> + Send,
    ResBody: Body<Data = Bytes> + Send,
    ResBody::Error: Send,
{
    async move {
        // A request that waits, is replayed or is rejected does not get here, so it takes no capacity
        // of the inner service.
        tokio::select! {
            biased;
            ready = ready(&mut inner) => ready.map_err(Failure::NotBegun)?,
            () = running.stopping() => return Err(Failure::ShutDown),
        }
        request.extensions_mut().insert(attempt);
        let has_no_route = route::is_missing(request.extensions());
        let response = inner.call(request.map(ReqBody::from)).await.map_err(Failure::Erred)?;
        Ok(match guarded_by {
            GuardedBy::ItsRecord => {
                let done = judge(response, config, protocol, request_id.cloned()).await;
                if has_no_route {
                    warn_of_missing_route(&done, config);
                }
                done
            }
            GuardedBy::Nothing => Done::unrecorded(response::unguarded(response)),
            GuardedBy::OuterLayer => Done::unrecorded(response.map(ResponseBody::inner)),
        })
    }
}

async fn ready<S: Service<R>, R>(service: &mut S) -> Result<(), S::Error> {
    poll_fn(|cx| service.poll_ready(cx)).await
}

impl<B: Body, E> Ended<Response<ResponseBody<B>>, E> {
    fn into_response(
        self,
        config: &Config,
        protocol: &Protocol,
        request_id: Option<HeaderValue>,
    ) -> Caught<Response<ResponseBody<B>>, E> {
        Caught::Completed(match self {
            Self::Responded(mut response) | Self::Abandoned(mut response) => {
                if config.mark_original {
                    response::mark_original(&mut response);
                }
                response
            }
            Self::Unguarded(response) | Self::Nested(response) => response,
            Self::Replayed(outcome) => protocol.replayed(config.replay(outcome, request_id)),
            Self::Rejected(rejection) => config.reject(protocol, rejection),
            Self::Conflict => config.reject(protocol, config.in_flight()),
            Self::Erred(error) => return Caught::Erred(error),
            Self::Panicked(panic) => return Caught::Panicked(panic),
        })
    }
}
