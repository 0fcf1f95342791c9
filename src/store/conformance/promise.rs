//! The promises of a store, as "Writing a store" numbers them.

use std::fmt;

/// A [promise of a store](crate::store#writing-a-store).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Promise {
    /// 1: `reserve` is one atomic operation.
    Reserve,
    /// 2: a record is taken over only if it yields to the request.
    TakeOver,
    /// 3: only the current token settles.
    Token,
    /// 4: `release` leaves what the attempt found.
    Release,
    /// 5: a response is stored although its record is gone.
    Gone,
    /// 6: the store judges times by its own clock.
    Clock,
    /// 7: a live record is never evicted.
    Eviction,
    /// 8: a record is found whole.
    Whole,
    /// 9: `inspect` and `wait_for_change` change nothing, and reply in time.
    Look,
    /// 10: an operator changes the record that it saw, and no other one.
    Intervene,
}

impl Promise {
    const ALL: [(Self, &'static str); 10] = [
        (Self::Reserve, "`reserve` is one atomic operation"),
        (Self::TakeOver, "A record is taken over only if it yields to the request"),
        (Self::Token, "Only the current token settles"),
        (Self::Release, "`release` leaves what the attempt found"),
        (Self::Gone, "A response is stored although its record is gone"),
        (Self::Clock, "The store judges times by its own clock"),
        (Self::Eviction, "A live record is never evicted"),
        (Self::Whole, "A record is found whole"),
        (Self::Look, "`inspect` and `wait_for_change` change nothing, and reply in time"),
        (Self::Intervene, "An operator changes the record that it saw, and no other one"),
    ];

    /// Its number in the list of promises.
    pub fn number(self) -> usize {
        Self::ALL.iter().position(|(promise, _)| *promise == self).map_or(0, |index| index + 1)
    }

    /// Its first sentence in the list of promises.
    pub fn text(self) -> &'static str {
        Self::ALL.iter().find(|(promise, _)| *promise == self).map_or("", |(_, text)| text)
    }
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "promise {}, {}", self.number(), self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_a_store_lists_each_promise_under_its_number() {
        let guide = include_str!("../writing.md");
        for (promise, text) in Promise::ALL {
            let line = format!("{}. **{text}.**", promise.number());
            assert!(guide.contains(&line), "the guide has no line {line:?}");
        }
    }
}
