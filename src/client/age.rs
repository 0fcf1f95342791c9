//! The age of a key by the wall clock, because a monotonic clock stops while the machine is
//! suspended.

use std::time::{Duration, SystemTime};

/// How far ahead of the clock a key may be dated. Corrections of a clock are usually smaller.
const TOLERANCE: Duration = Duration::from_mins(5);

/// When a key was made, and how long the server remembers it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Age {
    pub(crate) created_at: SystemTime,
    pub(crate) retention: Duration,
}

/// Why nothing may be sent under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Untimely {
    /// The server may have forgotten it.
    Expired,
    /// It is from the future, so its age is not known.
    ClockBehind,
}

impl Age {
    /// The age of a key that counts from now on.
    pub(crate) fn from_now_on(retention: Duration) -> Self {
        Self { created_at: SystemTime::now(), retention }
    }

    pub(crate) fn check(self, now: SystemTime) -> Result<(), Untimely> {
        if self.created_at.duration_since(now).is_ok_and(|ahead| ahead > TOLERANCE) {
            return Err(Untimely::ClockBehind);
        }
        let end = self.created_at.checked_add(self.retention);
        if end.is_some_and(|end| end <= now) { Err(Untimely::Expired) } else { Ok(()) }
    }

    /// Whether the server may have forgotten the key by the end of a wait that begins now.
    pub(crate) fn ends_within(self, wait: Duration) -> bool {
        let then = SystemTime::now().checked_add(wait);
        then.is_some_and(|then| self.check(then) == Err(Untimely::Expired))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_can_be_used_until_its_retention_ends_and_by_a_clock_that_is_a_little_behind() {
        let now = SystemTime::now();
        let hour = Duration::from_hours(1);
        let second = Duration::from_secs(1);
        let check = |created_at| Age { created_at, retention: hour }.check(now);
        assert_eq!(check(now), Ok(()));
        assert_eq!(check(now - hour + second), Ok(()));
        assert_eq!(check(now - hour), Err(Untimely::Expired));
        assert_eq!(check(now + TOLERANCE), Ok(()));
        assert_eq!(check(now + TOLERANCE + second), Err(Untimely::ClockBehind));
        let endless = Age { created_at: now, retention: Duration::MAX };
        assert_eq!(endless.check(now + hour), Ok(()));
    }
}
