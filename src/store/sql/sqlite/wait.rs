//! How long an operation waits: first for a connection, then for the file.
//!
//! SQLite has one writer at a time, and says BUSY to the others. A statement that got BUSY was not
//! carried out, so it can be sent again. SQLite does that by itself with a `busy_timeout`, but its
//! pauses grow up to 100 ms: of two processes that both write without a break, the one that pauses
//! is late again and again. Here the pauses stay short and random.

use std::fmt;
use std::time::Duration;

use sqlx::Sqlite;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqlitePool;
use tokio::time::{Instant, sleep, timeout_at};

use super::error::{is_busy, store_error};
use crate::store::sql::error::SqlError;
use crate::store::timeout::Timeout;
use crate::store::{StoreError, StoreErrorKind};

/// The shortest pause before a statement is sent again, and up to how much is added to it.
const PAUSE: Duration = Duration::from_micros(500);
const JITTER: Duration = Duration::from_micros(1500);

/// How much earlier than its caller an operation gives up, so that its error says what it waited
/// for: a tenth of the time, but no more than this.
const EARLIER: Duration = Duration::from_millis(100);

/// The wait of one operation. All its statements share the bound.
#[derive(Clone, Copy)]
pub(super) struct Wait {
    until: Instant,
    bound: Duration,
}

impl Wait {
    /// Begins now, and ends shortly before the caller gives up.
    pub(super) fn within(timeout: &Timeout) -> Self {
        let timeout = timeout.get();
        let bound = timeout.saturating_sub(EARLIER.min(timeout / 10));
        Self { until: Instant::now() + bound, bound }
    }

    /// Takes a connection out of the pool, which serves its waiters in order.
    pub(super) async fn connection(
        &self,
        pool: &SqlitePool,
    ) -> Result<PoolConnection<Sqlite>, StoreError> {
        loop {
            let Ok(acquired) = timeout_at(self.until, pool.acquire()).await else {
                return Err(
                    self.over(Missing::Connection, SqlError(sqlx::Error::PoolTimedOut).into())
                );
            };
            // To open one, the file is read.
            match acquired.map_err(store_error) {
                Ok(connection) => return Ok(connection),
                Err(error) => self.pause(error).await?,
            }
        }
    }

    /// Pauses before a failed statement is sent again.
    ///
    /// # Errors
    ///
    /// The one that was given, unless it is BUSY. If it is and the time is over, an error that says
    /// so.
    pub(super) async fn pause(&self, error: StoreError) -> Result<(), StoreError> {
        if !is_busy(&error) {
            return Err(error);
        }
        let pause = pause();
        if self.until.saturating_duration_since(Instant::now()) < pause {
            return Err(self.over(Missing::File, error.into()));
        }
        sleep(pause).await;
        Ok(())
    }

    fn over(&self, missing: Missing, last: Box<dyn std::error::Error + Send + Sync>) -> StoreError {
        StoreError::with_source(
            StoreErrorKind::Unavailable,
            Over { missing, bound: self.bound, last },
        )
    }
}

fn pause() -> Duration {
    // Without randomness two processes may meet again and again, but not for long: neither is as
    // punctual as that.
    let random = f64::from(getrandom::u32().unwrap_or(0)) / f64::from(u32::MAX);
    PAUSE + JITTER.mul_f64(random)
}

#[derive(Debug)]
struct Over {
    missing: Missing,
    bound: Duration,
    last: Box<dyn std::error::Error + Send + Sync>,
}

#[derive(Debug)]
enum Missing {
    Connection,
    File,
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bound = self.bound;
        match self.missing {
            Missing::Connection => write!(f, "no connection was free for {bound:?}"),
            Missing::File => write!(f, "another connection wrote to the file for {bound:?}"),
        }
    }
}

impl std::error::Error for Over {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.last)
    }
}
