//! What a case does, and how cases are drawn.

use std::fmt;

use proptest::prelude::*;

/// How many keys a case has.
pub(super) const KEYS: u8 = 2;

/// One step of a case. Times are counted in ticks; what a tick is depends on the store's clock.
#[derive(Debug, Clone)]
pub(super) enum Step {
    ReserveRequest(Ask),
    /// Settles a lease.
    Settle(Holder, Write),
    /// Sends the last settling write again, as it was.
    Again,
    /// Lets time pass.
    Pass(u8),
}

/// What is asked of a reservation. The retention is the lease and `beyond` together.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) key: u8,
    pub(super) fingerprint: u8,
    pub(super) lease: Ticks,
    pub(super) beyond: Ticks,
    pub(super) retry_failed: RerunFailed,
    pub(super) retry_abandoned: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum RerunFailed {
    Never,
    /// Only the failure of the attempt that was given this lease.
    Only(Holder),
    Any,
}

/// Whose lease it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Holder {
    /// Of all leases that were given out under the key, the newest.
    Newest { key: u8 },
    /// The one that was given out that many leases before.
    Earlier { key: u8, by: u8 },
    /// The newest, but for the token, which is made up.
    Forger { key: u8 },
}

#[derive(Debug, Clone)]
pub(super) enum Write {
    Complete(Answer, Ticks),
    Fail(Option<Answer>, Ticks),
    Release,
    Renew,
}

/// What an answer is like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// `None` for an answer of which nothing is kept.
    pub(super) bytes: Option<usize>,
    /// Whether there are headers, trailers and a request id.
    pub(super) adorned: bool,
}

/// A length of time: 0 is the shortest that stores know, and [`FOR_EVER`](Self::FOR_EVER) the longest.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Ticks(pub(super) u8);

impl Ticks {
    pub(super) const SHORTEST: Self = Self(0);
    pub(super) const FOR_EVER: Self = Self(u8::MAX);

    pub(super) fn plus(self, beyond: Self) -> Self {
        Self(self.0.saturating_add(beyond.0))
    }
}

impl fmt::Debug for Ticks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::SHORTEST => f.write_str("shortest"),
            Self::FOR_EVER => f.write_str("for_ever"),
            Self(ticks) => write!(f, "{ticks}"),
        }
    }
}

/// Draws lists of steps. What tells the most is drawn the most often: one key, one fingerprint, the newest lease.
pub(super) fn sequences(longest: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => ask().prop_map(Step::ReserveRequest).boxed(),
        6 => (holder(), write()).prop_map(|(holder, write)| Step::Settle(holder, write)).boxed(),
        1 => Just(Step::Again).boxed(),
        4 => (1..=6_u8).prop_map(Step::Pass).boxed(),
    ];
    proptest::collection::vec(step, 1..=longest)
}

fn ask() -> impl Strategy<Value = Ask> {
    let beyond = prop_oneof![6 => (1..=6_u8).prop_map(Ticks), 1 => Just(Ticks::FOR_EVER)];
    let retry_failed = prop_oneof![
        2 => Just(RerunFailed::Never),
        3 => Just(RerunFailed::Any),
        2 => holder().prop_map(RerunFailed::Only),
    ];
    let fingerprint = prop_oneof![5 => Just(0_u8), 1 => Just(1_u8)];
    (key(), fingerprint, ticks(), beyond, retry_failed, any::<bool>()).prop_map(
        |(key, fingerprint, lease, beyond, retry_failed, retry_abandoned)| Ask {
            key,
            fingerprint,
            lease,
            beyond,
            retry_failed,
            retry_abandoned,
        },
    )
}

fn key() -> impl Strategy<Value = u8> {
    prop_oneof![3 => Just(0_u8), 1 => 0..KEYS]
}

fn ticks() -> impl Strategy<Value = Ticks> {
    prop_oneof![8 => (1..=6_u8).prop_map(Ticks), 1 => Just(Ticks::SHORTEST), 1 => Just(Ticks::FOR_EVER)]
}

fn holder() -> impl Strategy<Value = Holder> {
    prop_oneof![
        6 => key().prop_map(|key| Holder::Newest { key }),
        2 => (key(), 1..=3_u8).prop_map(|(key, by)| Holder::Earlier { key, by }),
        1 => key().prop_map(|key| Holder::Forger { key }),
    ]
}

fn write() -> impl Strategy<Value = Write> {
    let failure = prop_oneof![1 => Just(None), 2 => answer().prop_map(Some)];
    prop_oneof![
        3 => (answer(), ticks()).prop_map(|(answer, retention)| Write::Complete(answer, retention)),
        3 => (failure, ticks()).prop_map(|(answer, retention)| Write::Fail(answer, retention)),
        1 => Just(Write::Release),
        2 => Just(Write::Renew),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    // Redis keeps a body of more than 2 KiB apart.
    let bytes = prop::sample::select(vec![Some(3), Some(0), Some(2048), Some(2049), Some(9000), None]);
    let status = prop::sample::select(vec![201, 404, 500, 503]);
    (status, bytes, any::<bool>()).prop_map(|(status, bytes, adorned)| Answer { status, bytes, adorned })
}
