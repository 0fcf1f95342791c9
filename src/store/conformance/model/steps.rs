//! What a walk does, and how it is drawn.

use std::fmt;

use super::draw::Draw;

/// How many keys a walk has.
pub(super) const KEYS: u8 = 2;

/// One step of a walk. Times are counted in ticks; what a tick is depends on the store's clock.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Reserve(Ask),
    /// Settles a lease.
    Settle(Holder, Write),
    /// Sends the last settling write again, as it was.
    Again,
    /// Looks at the record of a key without a reservation, which leaves it as it is.
    Look(u8),
    /// Lets time pass.
    Pass(u8),
}

/// The parameters of a reservation. The retention is the lease and `beyond` together.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) key: u8,
    pub(super) fingerprint: u8,
    pub(super) lease: Ticks,
    pub(super) beyond: Ticks,
    pub(super) retry_failed: RerunFailed,
    pub(super) retry_abandoned: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum RerunFailed {
    Never,
    /// Only the failure of the attempt with this lease.
    Only(Holder),
    Any,
}

/// Which lease is used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Holder {
    /// Of all leases that were given out under the key, the newest.
    Newest { key: u8 },
    /// The one so many leases before the newest.
    Earlier { key: u8, by: u8 },
    /// The newest, with a token that was never given out.
    Forger { key: u8 },
}

#[derive(Debug, Clone)]
pub(super) enum Write {
    Complete(Response, Ticks),
    Fail(Option<Response>, Ticks),
    Release,
    Renew,
}

/// What a response is like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Response {
    pub(super) status: u16,
    /// `None` for a response whose body is not stored.
    pub(super) bytes: Option<usize>,
    /// Whether there are headers, trailers and a request id.
    pub(super) adorned: bool,
}

/// A length of time: 0 is the shortest that stores know.
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

/// Draws a list of steps. What tells the most is drawn the most often: one key, one fingerprint,
/// the newest lease.
///
/// A change here, even one more draw, gives each seed another walk. A test with a seed may then
/// miss what it was to find: give it another seed.
pub(super) fn sequence(seed: u64, longest: usize) -> Vec<Step> {
    let mut draw = Draw::from_seed(seed);
    let length = 1 + draw.index(longest);
    (0..length).map(|_| step(&mut draw)).collect()
}

fn step(draw: &mut Draw) -> Step {
    match draw.weighted([6, 6, 1, 1, 4]) {
        0 => Step::Reserve(ask(draw)),
        1 => {
            let holder = holder(draw);
            Step::Settle(holder, write(draw))
        }
        2 => Step::Again,
        3 => Step::Look(key(draw)),
        _ => Step::Pass(draw.between(1, 6)),
    }
}

fn ask(draw: &mut Draw) -> Ask {
    let key = key(draw);
    let fingerprint = u8::from(draw.weighted([5, 1]) != 0);
    let lease = ticks(draw);
    let beyond = match draw.weighted([6, 1]) {
        0 => Ticks(draw.between(1, 6)),
        _ => Ticks::FOR_EVER,
    };
    let retry_failed = match draw.weighted([2, 3, 2]) {
        0 => RerunFailed::Never,
        1 => RerunFailed::Any,
        _ => RerunFailed::Only(holder(draw)),
    };
    Ask { key, fingerprint, lease, beyond, retry_failed, retry_abandoned: draw.is_heads() }
}

fn key(draw: &mut Draw) -> u8 {
    match draw.weighted([3, 1]) {
        0 => 0,
        _ => draw.between(0, KEYS - 1),
    }
}

fn ticks(draw: &mut Draw) -> Ticks {
    match draw.weighted([8, 1, 1]) {
        0 => Ticks(draw.between(1, 6)),
        1 => Ticks::SHORTEST,
        _ => Ticks::FOR_EVER,
    }
}

fn holder(draw: &mut Draw) -> Holder {
    let key = key(draw);
    match draw.weighted([6, 2, 1]) {
        0 => Holder::Newest { key },
        1 => Holder::Earlier { key, by: draw.between(1, 3) },
        _ => Holder::Forger { key },
    }
}

fn write(draw: &mut Draw) -> Write {
    match draw.weighted([3, 3, 1, 2]) {
        0 => {
            let response = response(draw);
            Write::Complete(response, ticks(draw))
        }
        1 => {
            let response = (draw.weighted([1, 2]) == 1).then(|| response(draw));
            Write::Fail(response, ticks(draw))
        }
        2 => Write::Release,
        _ => Write::Renew,
    }
}

fn response(draw: &mut Draw) -> Response {
    // Sizes around 2 KiB, because stores put larger bodies elsewhere.
    let bytes = draw.one_of(&[Some(3), Some(0), Some(2048), Some(2049), Some(9000), None]);
    let status = draw.one_of(&[201, 404, 500, 503]);
    Response { status, bytes, adorned: draw.is_heads() }
}

impl Step {
    /// The same with one thing simpler, in every way that there is.
    pub(super) fn simpler(&self) -> Vec<Self> {
        match self {
            Self::Reserve(ask) => ask.simpler().into_iter().map(Self::Reserve).collect(),
            Self::Settle(holder, write) => {
                let holders =
                    holder.simpler().into_iter().map(|holder| Self::Settle(holder, write.clone()));
                let writes = write.simpler().into_iter().map(|write| Self::Settle(*holder, write));
                holders.chain(writes).collect()
            }
            Self::Again | Self::Look(0) => Vec::new(),
            Self::Look(_) => vec![Self::Look(0)],
            Self::Pass(ticks) => fewer(*ticks).into_iter().map(Self::Pass).collect(),
        }
    }
}

impl Ask {
    fn simpler(&self) -> Vec<Self> {
        let but = |change: &dyn Fn(&mut Self)| {
            let mut ask = self.clone();
            change(&mut ask);
            ask
        };
        let mut simpler = Vec::new();
        if self.key > 0 {
            simpler.push(but(&|ask| ask.key = 0));
        }
        if self.fingerprint > 0 {
            simpler.push(but(&|ask| ask.fingerprint = 0));
        }
        if self.retry_abandoned {
            simpler.push(but(&|ask| ask.retry_abandoned = false));
        }
        if self.retry_failed != RerunFailed::Never {
            simpler.push(but(&|ask| ask.retry_failed = RerunFailed::Never));
        }
        simpler.extend(self.lease.simpler().into_iter().map(|lease| but(&|ask| ask.lease = lease)));
        simpler.extend(
            self.beyond.simpler().into_iter().map(|beyond| but(&|ask| ask.beyond = beyond)),
        );
        simpler
    }
}

impl Holder {
    fn simpler(self) -> Vec<Self> {
        match self {
            Self::Newest { key: 0 } => Vec::new(),
            Self::Newest { .. } => vec![Self::Newest { key: 0 }],
            Self::Earlier { key, .. } | Self::Forger { key } => vec![Self::Newest { key }],
        }
    }
}

impl Write {
    fn simpler(&self) -> Vec<Self> {
        match self {
            Self::Complete(response, ticks) => {
                let responses =
                    response.simpler().into_iter().map(|response| Self::Complete(response, *ticks));
                let ticks =
                    ticks.simpler().into_iter().map(|ticks| Self::Complete(*response, ticks));
                responses.chain(ticks).collect()
            }
            Self::Fail(response, ticks) => {
                let none = response.is_some().then_some(None);
                let simpler = response.iter().flat_map(|response| response.simpler()).map(Some);
                let responses =
                    none.into_iter().chain(simpler).map(|response| Self::Fail(response, *ticks));
                let ticks = ticks.simpler().into_iter().map(|ticks| Self::Fail(*response, ticks));
                responses.chain(ticks).collect()
            }
            Self::Release | Self::Renew => Vec::new(),
        }
    }
}

impl Response {
    fn simpler(self) -> Vec<Self> {
        let mut simpler = Vec::new();
        if self.adorned {
            simpler.push(Self { adorned: false, ..self });
        }
        if self.bytes != Some(3) {
            simpler.push(Self { bytes: Some(3), ..self });
        }
        simpler
    }
}

impl Ticks {
    fn simpler(self) -> Vec<Self> {
        match self {
            Self::SHORTEST => Vec::new(),
            Self::FOR_EVER => vec![Self(6)],
            Self(ticks) => fewer(ticks).into_iter().map(Self).collect(),
        }
    }
}

fn fewer(ticks: u8) -> Option<u8> {
    (ticks > 1).then(|| ticks - 1)
}
