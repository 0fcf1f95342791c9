//! Decides whether there is another attempt, and when.

use std::sync::Arc;
use std::time::Duration;

use http_body::Body;
use tokio::time::{Instant, Sleep};
use tower::retry::Policy;

use crate::client::attempt::{Fault, JudgedResponse, Prepared};
use crate::client::disposition::Disposition;
use crate::client::error::{Error, ErrorKind};
use crate::client::report::Report;
use crate::client::settings::Settings;

/// The attempts of one operation.
#[derive(Clone)]
pub(crate) struct Attempted {
    settings: Arc<Settings>,
    count: u32,
}

impl Attempted {
    pub(crate) fn new(settings: Arc<Settings>) -> Self {
        settings.budget.deposit();
        Self { settings, count: 0 }
    }

    /// How long to wait before the next attempt. `None` if there is no other attempt.
    fn next(&self, asked: Duration, deadline: Instant) -> Option<Duration> {
        let settings = &*self.settings;
        let left = deadline.saturating_duration_since(Instant::now());
        let backoff = settings.backoff.wait(self.count);
        let bounded = asked.min(settings.max_retry_after);
        // The server may ask all clients for the same wait.
        let spread = || bounded.saturating_add(settings.backoff.spread());
        let wait = if bounded > backoff { spread() } else { backoff };
        let is_in_time = asked <= left && wait < left;
        // The budget comes last, so that an attempt that is not made costs nothing.
        let may = self.count < settings.max_attempts && is_in_time && settings.budget.withdraw();
        may.then_some(wait)
    }

    fn report<B: Body>(&self, request: &Prepared, result: &mut Result<JudgedResponse<B>, Fault>) {
        let key = request.marked.key.as_ref();
        match result {
            Ok(judged) => {
                let report = Report {
                    disposition: judged.disposition,
                    status: judged.status,
                    is_in_doubt: request.marked.history.leaves_doubt(),
                    key: key.cloned(),
                    attempts: self.count,
                };
                judged.response.extensions_mut().insert(report);
            }
            Err(fault) => fault.error.tell(self.count, key, request.marked.history.is_in_doubt()),
        }
    }
}

impl<B: Body> Policy<Prepared, JudgedResponse<B>, Fault> for Attempted {
    type Future = Sleep;

    fn retry(
        &mut self,
        request: &mut Prepared,
        result: &mut Result<JudgedResponse<B>, Fault>,
    ) -> Option<Sleep> {
        let (is_attempt, is_open, asked) = match result {
            Ok(judged) => (true, judged.disposition == Disposition::Retry, judged.retry_after),
            Err(fault) => (fault.is_attempt, fault.is_transient, None),
        };
        self.count += u32::from(is_attempt);
        let mut wait =
            is_open.then(|| self.next(asked.unwrap_or_default(), request.deadline)).flatten();
        if wait.is_some_and(|wait| request.marked.age.ends_within(wait)) {
            *result = Err(Fault::unsent(ErrorKind::Expired));
            wait = None;
        }
        self.report(request, result);
        log(self.count, result, wait);
        wait.map(tokio::time::sleep)
    }

    fn clone_request(&mut self, request: &Prepared) -> Option<Prepared> {
        Some(request.clone())
    }
}

fn log<B: Body>(attempt: u32, result: &Result<JudgedResponse<B>, Fault>, wait: Option<Duration>) {
    let status = result.as_ref().ok().map(|judged| judged.response.status().as_u16());
    let error: Option<&Error> = result.as_ref().err().map(|fault| &fault.error);
    let error = error.map(tracing::field::display);
    if let Some(wait) = wait {
        tracing::debug!(attempt, status, error, ?wait, "the request is retried after the wait");
    } else {
        tracing::trace!(attempt, status, error, "the request is not retried");
    }
}
