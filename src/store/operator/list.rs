//! Which records an operator asks for, in pages.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{RecordInfo, RecordState};
use crate::record::key::ScopeDigest;

/// Asks for a page of records.
///
/// ```
/// use std::time::Duration;
/// use tower_idempotency::store::operator::{ListFilter, ListRequest, StateFilter};
///
/// let stuck = ListFilter::new().state(StateFilter::InDoubt).older_than(Duration::from_mins(5));
/// let request = ListRequest::new(stuck).limit(20);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ListRequest {
    /// Which records.
    pub filter: ListFilter,
    /// In which order. A store without an order, such as Redis, returns them in any.
    pub order: ListOrder,
    /// How many records a page has at most. A page may have fewer, also none, before the last one.
    pub limit: u32,
    /// Where the page before ended.
    pub after: Option<Cursor>,
}

impl ListRequest {
    /// The most records of a page.
    pub const MAX_LIMIT: u32 = 1000;

    /// Asks for the first 100 records that pass the filter, the oldest first.
    pub fn new(filter: ListFilter) -> Self {
        Self { filter, order: ListOrder::default(), limit: 100, after: None }
    }

    /// Sets the order. Default: the oldest first.
    #[must_use]
    pub fn order(self, order: ListOrder) -> Self {
        Self { order, ..self }
    }

    /// Sets how many records a page has at most, from 1 to [`MAX_LIMIT`](Self::MAX_LIMIT). Default:
    /// 100.
    #[must_use]
    pub fn limit(self, limit: u32) -> Self {
        Self { limit: limit.clamp(1, Self::MAX_LIMIT), ..self }
    }

    /// Sets where the page before ended: its [`next`](ListPage::next).
    #[must_use]
    pub fn after(self, after: impl Into<Option<Cursor>>) -> Self {
        Self { after: after.into(), ..self }
    }
}

/// The order of a list, by the time of the last change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListOrder {
    /// The record that has not changed for the longest time comes first.
    #[default]
    OldestFirst,
    /// The record that was changed last comes first.
    NewestFirst,
}

/// Which records a list has. Without a condition: all that have not expired.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ListFilter {
    /// The state.
    pub state: Option<StateFilter>,
    /// The shortest time since the last change. A record whose age the store does not know passes.
    pub older_than: Option<Duration>,
    /// The route of the label, whole.
    pub route: Option<String>,
    /// The namespace of the label.
    pub namespace: Option<String>,
    /// The scope.
    pub scope: Option<ScopeDigest>,
    /// The first hexadecimal digits of the name, as logs show them, in lower case.
    pub digits: Option<String>,
}

impl ListFilter {
    /// All records.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only records in this state.
    #[must_use]
    pub fn state(self, state: impl Into<Option<StateFilter>>) -> Self {
        Self { state: state.into(), ..self }
    }

    /// Only records that were not changed for this long.
    #[must_use]
    pub fn older_than(self, age: impl Into<Option<Duration>>) -> Self {
        Self { older_than: age.into(), ..self }
    }

    /// Only records of this route. They must be
    /// [labelled](crate::IdempotencyLayer::label_records).
    #[must_use]
    pub fn route(self, route: impl Into<Option<String>>) -> Self {
        Self { route: route.into(), ..self }
    }

    /// Only records of this namespace. They must be labelled.
    #[must_use]
    pub fn namespace(self, namespace: impl Into<Option<String>>) -> Self {
        Self { namespace: namespace.into(), ..self }
    }

    /// Only records of this scope. They must be labelled.
    #[must_use]
    pub fn scope(self, scope: impl Into<Option<ScopeDigest>>) -> Self {
        Self { scope: scope.into(), ..self }
    }

    /// Only records whose name begins with these hexadecimal digits.
    #[must_use]
    pub fn digits(self, digits: impl Into<Option<String>>) -> Self {
        let digits: Option<String> = digits.into();
        Self { digits: digits.map(|digits| digits.to_ascii_lowercase()), ..self }
    }

    /// Whether a record passes. A store without an index calls it for each record.
    pub fn passes(&self, info: &RecordInfo) -> bool {
        let Self { state, older_than, route, namespace, scope, digits } = self;
        let label = info.label.as_deref();
        state.is_none_or(|state| state.passes(info))
            && older_than.is_none_or(|age| info.changed_ago.is_none_or(|ago| ago >= age))
            && route.as_ref().is_none_or(|route| label.is_some_and(|label| label.route == *route))
            && namespace
                .as_ref()
                .is_none_or(|namespace| label.is_some_and(|label| label.namespace == *namespace))
            && scope.is_none_or(|scope| info.scope == Some(scope))
            && digits.as_ref().is_none_or(|digits| info.key.to_hex().starts_with(digits))
    }
}

/// A condition on the state of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StateFilter {
    /// Its attempt runs.
    InFlight,
    /// Its attempt was cut off.
    Abandoned,
    /// Its attempt failed.
    Failed,
    /// An attempt may have had an effect, and none has given a definitive response: abandoned,
    /// failed, or running after such an attempt.
    InDoubt,
    /// It succeeded, and the response cannot be replayed.
    NotRetained,
    /// It succeeded, and the response is replayed.
    Success,
    /// An operator must decide: in doubt and not running, or not retained.
    Stuck,
}

impl StateFilter {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::InFlight,
        Self::Abandoned,
        Self::Failed,
        Self::InDoubt,
        Self::NotRetained,
        Self::Success,
        Self::Stuck,
    ];

    /// The condition in one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::InFlight => "in-flight",
            Self::Abandoned => "abandoned",
            Self::Failed => "failed",
            Self::InDoubt => "in-doubt",
            Self::NotRetained => "not-retained",
            Self::Success => "success",
            Self::Stuck => "stuck",
        }
    }

    /// Whether a record is in this state.
    pub fn passes(self, info: &RecordInfo) -> bool {
        let is = |word| info.state.word() == word;
        match self {
            Self::InDoubt => info.is_in_doubt(),
            Self::Stuck => {
                matches!(
                    info.state,
                    RecordState::Abandoned
                        | RecordState::Failed { .. }
                        | RecordState::Success { not_retained: Some(_), .. }
                )
            }
            one => is(one.word()),
        }
    }
}

impl fmt::Display for StateFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for StateFilter {
    type Err = UnknownState;

    fn from_str(word: &str) -> Result<Self, UnknownState> {
        Self::ALL.into_iter().find(|state| state.word() == word).ok_or(UnknownState)
    }
}

/// A word that is not a [`StateFilter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownState;

impl fmt::Display for UnknownState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a state is one of ")?;
        for (index, state) in StateFilter::ALL.iter().enumerate() {
            write!(f, "{}{state}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownState {}

/// Where a page of a list ended. Only the store that made it reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(String);

impl Cursor {
    /// A place in the words of the store. The text goes into URLs.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The place in the words of the store.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A page of a list.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ListPage {
    /// The records.
    pub records: Vec<RecordInfo>,
    /// Where the next page begins. `None`: this was the last one.
    pub next: Option<Cursor>,
    /// How far the store has come, if it reads all records for the list.
    pub progress: Option<Progress>,
}

impl ListPage {
    /// A page with these records.
    pub fn new(records: Vec<RecordInfo>, next: Option<Cursor>) -> Self {
        Self { records, next, progress: None }
    }

    /// Sets how far the store has come. Default: the store does not read all records.
    #[must_use]
    pub fn progress(self, progress: impl Into<Option<Progress>>) -> Self {
        Self { progress: progress.into(), ..self }
    }
}

/// How far a store has come that reads all of its records, in this page alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// How many records this page has read.
    pub read: u64,
    /// How many there are, about.
    pub of: u64,
}
