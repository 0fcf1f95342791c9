//! The routes.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Extension, RawPathParams, RawQuery, State as FromState};
use tokio::time::Instant;

use super::change::Change;
use super::problem::Problem;
use super::query::{self, is_digits};
use super::shape::{Changed, Counts, Page, Shown};
use super::state::{OperatorName, State};
use crate::operate::{Operator, Settled};
use crate::record::key::StorageKey;
use crate::store::Store;
use crate::store::operator::{
    ListFilter, ListOrder, ListRequest, Progress, RecordInfo, RecordState, Stats,
};

/// How long a request reads one part after another. A part that has begun is read to its end.
const PATIENCE: Duration = Duration::from_secs(1);

type Shared<St> = FromState<Arc<State<St>>>;

pub(super) async fn list<St: Store>(
    FromState(state): Shared<St>,
    Extension(name): Extension<OperatorName>,
    RawQuery(query): RawQuery,
) -> Result<Json<Page>, Problem> {
    let request = query::list(&query.unwrap_or_default())?;
    Ok(Json(state.operator(&name)?.list(&request).await?.into()))
}

pub(super) async fn stats<St: Store>(
    FromState(state): Shared<St>,
    Extension(name): Extension<OperatorName>,
    RawQuery(query): RawQuery,
) -> Result<Json<Counts>, Problem> {
    let mut after = query::after(&query.unwrap_or_default())?;
    let operator = state.operator(&name)?;
    let since = Instant::now();
    let (mut sum, mut progress) = (Stats::default(), None);
    loop {
        let part = operator.stats(after.as_ref()).await?;
        sum += part.stats;
        progress = joined(progress, part.progress);
        after = part.next;
        if after.is_none() || since.elapsed() >= PATIENCE {
            return Ok(Json(Counts::new(name.0, &sum, after.as_ref(), progress)));
        }
    }
}

fn joined(before: Option<Progress>, more: Option<Progress>) -> Option<Progress> {
    match (before, more) {
        (Some(before), Some(more)) => Some(Progress { read: before.read + more.read, of: more.of }),
        (before, more) => more.or(before),
    }
}

pub(super) async fn show<St: Store>(
    FromState(state): Shared<St>,
    Extension(name): Extension<OperatorName>,
    path: RawPathParams,
) -> Result<Json<Shown>, Problem> {
    let operator = state.operator(&name)?;
    let key = find(&operator, digits(&path)?).await?;
    let shown = operator.show(&key).await?;
    if shown.record.is_none() && shown.history.is_empty() {
        return Err(Problem::NoRecord);
    }
    Ok(Json(shown.into()))
}

/// By name, because the routes may be nested under a path with parameters of its own.
fn digits(path: &RawPathParams) -> Result<&str, Problem> {
    let digits = path.iter().find(|(name, _)| *name == "digits").map(|(_, digits)| digits);
    digits.filter(|digits| is_digits(digits)).ok_or_else(|| {
        Problem::Invalid("a record is named by up to 64 hexadecimal digits".to_owned())
    })
}

/// The key with these digits. Fewer than 64 must be unique.
async fn find<St: Store>(operator: &Operator<St>, digits: &str) -> Result<StorageKey, Problem> {
    if let Some(key) = StorageKey::from_hex(digits) {
        return Ok(key);
    }
    let filter = ListFilter::new().digits(digits.to_owned());
    let mut request = ListRequest::new(filter).order(ListOrder::NewestFirst).limit(10);
    let since = Instant::now();
    let mut found: Vec<RecordInfo> = Vec::new();
    loop {
        let page = operator.list(&request).await?;
        for record in page.records {
            // A store without an order may return a record twice.
            if found.iter().all(|other| other.key != record.key) {
                found.push(record);
            }
        }
        match (page.next, &found[..]) {
            (_, [_, _, ..]) => return Err(Problem::Ambiguous(found)),
            (None, [record]) => return Ok(record.key),
            (None, []) => return Err(Problem::NoRecord),
            (Some(_), _) if since.elapsed() >= PATIENCE => return Err(Problem::Unfinished),
            (Some(next), _) => request = request.after(next),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Release,
    Settle,
    Erase,
}

pub(super) async fn change<St: Store>(
    action: Action,
    FromState(state): Shared<St>,
    Extension(name): Extension<OperatorName>,
    path: RawPathParams,
    body: Result<Json<Change>, JsonRejection>,
) -> Result<Json<Changed>, Problem> {
    let key = StorageKey::from_hex(digits(&path)?).ok_or_else(|| {
        Problem::Invalid("a record that is changed is named by all 64 digits".to_owned())
    })?;
    let Json(change) = body.map_err(unread)?;
    let settle = change.settle()?;
    let operator = state.operator(&name)?;
    let operator = if change.even_in_flight { operator.even_in_flight() } else { operator };
    let operator = if change.even_unreadable { operator.even_unreadable() } else { operator };
    let now = operator.show(&key).await?.record;
    let seen = change.seen.record(key, now.as_ref())?;
    let reason = &change.reason;
    let settled = match (action, settle) {
        (Action::Release, None) => operator.release(&seen, reason).await?,
        (Action::Erase, None) => operator.erase(&seen, reason).await?,
        (Action::Settle, Some(settle)) => operator.settle(&seen, settle, reason).await?,
        (Action::Settle, None) => {
            let detail = "a settlement has `response`, `failed` or `done`";
            return Err(Problem::Unprocessable(detail.to_owned()));
        }
        (Action::Release | Action::Erase, Some(_)) => {
            let detail = "only a settlement has `response`, `failed` or `done`";
            return Err(Problem::Unprocessable(detail.to_owned()));
        }
    };
    result(settled, now)
}

/// `now` is the record as it was just before.
fn result(settled: Settled, now: Option<RecordInfo>) -> Result<Json<Changed>, Problem> {
    let now = now.map(Box::new);
    let runs = now.as_ref().is_some_and(|now| now.state == RecordState::InFlight);
    Err(match settled {
        Settled::Applied | Settled::AlreadyApplied => return Ok(Json((&settled).into())),
        Settled::Moved(now) => Problem::Moved(now),
        Settled::InFlight if runs => Problem::InFlight(now),
        // The operator saw an attempt that runs, and it has ended since.
        Settled::InFlight => Problem::Moved(now),
        Settled::HasResponse => Problem::HasResponse(now),
        Settled::Unreadable(_) => Problem::Unreadable(now),
    })
}

fn unread(rejection: JsonRejection) -> Problem {
    match rejection {
        JsonRejection::JsonDataError(error) => Problem::Unprocessable(error.body_text()),
        JsonRejection::BytesRejection(error) if error.status().as_u16() == 413 => Problem::TooLarge,
        other => Problem::Invalid(other.body_text()),
    }
}

pub(super) async fn wrong_method() -> Problem {
    Problem::WrongMethod
}
