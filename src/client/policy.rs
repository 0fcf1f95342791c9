//! Whether there is another attempt, and when.

use std::sync::Arc;
use std::time::Duration;

use http_body::Body;
use tokio::time::{Instant, Sleep};
use tower::retry::Policy;

use crate::client::attempt::{Answer, Fault, Prepared, later};
use crate::client::disposition::Disposition;
use crate::client::error::Error;
use crate::client::settings::Settings;

/// The attempts of one operation.
#[derive(Clone)]
pub(crate) struct Attempted {
    settings: Arc<Settings>,
    count: u32,
}

/// How many attempts an answer took. In the extensions of every answer under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempts(pub u32);

impl Attempted {
    pub(crate) fn new(settings: Arc<Settings>) -> Self {
        settings.budget.deposit();
        Self { settings, count: 0 }
    }

    /// How long to wait before the next attempt. `None`: there is none.
    fn next(&self, asked: Option<Duration>, deadline: Instant) -> Option<Duration> {
        let settings = &*self.settings;
        let wait = match asked {
            Some(asked) => asked.min(settings.max_retry_after).saturating_add(settings.backoff.spread()),
            None => settings.backoff.wait(self.count),
        };
        let is_in_time = later(Instant::now(), wait) < deadline;
        // The budget comes last: what is not made costs nothing.
        let may = self.count < settings.max_attempts && is_in_time && settings.budget.withdraw();
        may.then_some(wait)
    }
}

impl<B: Body> Policy<Prepared, Answer<B>, Fault> for Attempted {
    type Future = Sleep;

    fn retry(&mut self, request: &mut Prepared, result: &mut Result<Answer<B>, Fault>) -> Option<Sleep> {
        self.count += 1;
        let (is_open, asked) = match result {
            Ok(answer) => {
                let extensions = answer.response.extensions_mut();
                extensions.insert(Attempts(self.count));
                extensions.insert(answer.disposition);
                // So that a caller whose answer is not definitive can go on under it.
                request.key.clone().map(|key| extensions.insert(key));
                (answer.disposition == Disposition::Retry, answer.retry_after)
            }
            Err(fault) => {
                fault.error.tell(self.count, request.key.as_ref());
                (fault.is_transient, None)
            }
        };
        let wait = is_open.then(|| self.next(asked, request.deadline)).flatten();
        tell(self.count, result, wait);
        wait.map(tokio::time::sleep)
    }

    fn clone_request(&mut self, request: &Prepared) -> Option<Prepared> {
        Some(request.clone())
    }
}

fn tell<B: Body>(attempt: u32, result: &Result<Answer<B>, Fault>, wait: Option<Duration>) {
    let status = result.as_ref().ok().map(|answer| answer.response.status().as_u16());
    let error: Option<&Error> = result.as_ref().err().map(|fault| &fault.error);
    let error = error.map(tracing::field::display);
    if let Some(wait) = wait {
        tracing::debug!(attempt, status, error, ?wait, "the operation is tried again");
    } else {
        tracing::trace!(attempt, status, error, "the operation is not tried again");
    }
}
