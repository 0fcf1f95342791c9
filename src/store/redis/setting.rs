//! What all connections of a store have in common, and how long their work may take.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use redis::RedisResult;

use super::error::unreached;
use super::eviction::Eviction;
use super::place::Place;
use super::probe::Probes;
use super::unreached::Unreached;
use crate::runtime::deadlines::{InTime, in_time};
use crate::store::timeout::Timeout;

/// What all connections of a store have in common.
#[derive(Clone)]
pub(super) struct Setting {
    /// How long the callers wait.
    pub(super) timeout: Timeout,
    pub(super) eviction: Arc<Eviction>,
    pub(super) probes: Arc<Probes>,
}

impl Setting {
    /// Runs work that must end before the callers stop waiting.
    pub(super) fn in_time<T, F>(&self, work: F) -> InTime<F>
    where
        F: Future<Output = RedisResult<T>>,
    {
        within(self.timeout.get(), work)
    }

    /// Runs the work before anything is sent. It ends shortly before the callers stop waiting, so
    /// that they learn that nothing was sent, and where to.
    pub(super) async fn to_reach<T>(
        &self,
        place: impl FnOnce() -> Place,
        work: impl Future<Output = RedisResult<T>>,
    ) -> RedisResult<T> {
        let timeout = self.timeout.get();
        let reached = within(timeout / 16 * 15, work).await.map_err(unreached);
        reached.map_err(
            |error| {
                if error.is_io_error() { Unreached::at(place(), error) } else { error }
            },
        )
    }
}

pub(super) fn within<T, F>(bound: Duration, work: F) -> InTime<F>
where
    F: Future<Output = RedisResult<T>>,
{
    in_time(bound, work, || {
        let late = io::Error::new(io::ErrorKind::TimedOut, "the deadline has passed");
        Err(late.into())
    })
}
