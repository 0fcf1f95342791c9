//! The built-in quota: how many new keys a scope may use in a minute.
//!
//! `governor` counts. It cannot check without counting, and it cannot give back. So the quota
//! remembers when an exhausted scope gets its next key. Until then, its requests are not counted.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::record::key::ScopeDigest;
use crate::runtime::lock::lock;

/// How many queries of the store an exhausted scope gets for each key of its quota.
const LOOKS_FOR_EACH: u32 = 10;

/// How often idle scopes are removed.
const SWEEP: Duration = Duration::from_mins(1);

pub(crate) struct NewKeys<C: Clock = DefaultClock> {
    keys: Limiter<C>,
    looks: Limiter<C>,
    waiting: Mutex<Waiting<C::Instant>>,
    clock: C,
}

type Limiter<C> = RateLimiter<
    ScopeDigest,
    HashMapStateStore<ScopeDigest>,
    C,
    NoOpMiddleware<<C as Clock>::Instant>,
>;

/// When each exhausted scope gets its next key, and when the map was last swept.
struct Waiting<I> {
    until: HashMap<ScopeDigest, I>,
    swept: I,
}

impl NewKeys {
    pub(crate) fn new(per_minute: NonZeroU32) -> Self {
        Self::with_clock(per_minute, DefaultClock::default())
    }
}

impl<C: Clock + Clone> NewKeys<C> {
    fn with_clock(per_minute: NonZeroU32, clock: C) -> Self {
        let looks = per_minute.saturating_mul(NonZeroU32::MIN.saturating_add(LOOKS_FOR_EACH - 1));
        let limiter =
            |most| RateLimiter::hashmap_with_clock(Quota::per_minute(most), clock.clone());
        Self {
            keys: limiter(per_minute),
            looks: limiter(looks),
            waiting: Mutex::new(Waiting { until: HashMap::new(), swept: clock.now() }),
            clock,
        }
    }

    /// How long the scope waits for its next new key, if it is known to be exhausted.
    pub(crate) fn wait(&self, scope: ScopeDigest) -> Option<Duration> {
        let now = self.clock.now();
        let mut waiting = lock(&self.waiting);
        let until = *waiting.until.get(&scope)?;
        if until <= now {
            waiting.until.remove(&scope);
            return None;
        }
        Some(until.duration_since(now).into())
    }

    /// Whether a request of an exhausted scope may be looked up in the store.
    pub(crate) fn may_look(&self, scope: ScopeDigest) -> bool {
        self.looks.check_key(&scope).is_ok()
    }

    /// Counts a new key. Returns how long to wait if no key is left. Without a `scope` function the
    /// keys are not counted.
    pub(crate) fn take(&self, scope: ScopeDigest) -> Result<(), Duration> {
        if scope == ScopeDigest::UNSET {
            return Ok(());
        }
        let taken = self.keys.check_key(&scope);
        let now = self.clock.now();
        let mut waiting = lock(&self.waiting);
        if Duration::from(now.duration_since(waiting.swept)) >= SWEEP {
            waiting.swept = now;
            waiting.until.retain(|_, until| *until > now);
            waiting.until.shrink_to_fit();
            for limiter in [&self.keys, &self.looks] {
                limiter.retain_recent();
                limiter.shrink_to_fit();
            }
        }
        taken.map_err(|rejection| {
            waiting.until.insert(scope, rejection.earliest_possible());
            rejection.wait_time_from(now)
        })
    }
}

#[cfg(test)]
mod tests;
