//! What a reservation entitles a request to.

use tokio::time::Instant;

use super::permit::Permit;
use super::waiting::Place;
use crate::handler::attempt::Attempt;
use crate::http::rejection::Rejection;
use crate::record::outcome::Outcome;
use crate::store::{Lease, PendingRef};

/// What a request may do.
#[derive(Debug)]
pub(super) enum Admission {
    /// The key is the request's: run the operation.
    Run(Reserved),
    Replay(Outcome),
    /// The same request is running elsewhere.
    InFlight(PendingRef),
    /// The lease of an earlier attempt looks lapsed. Until then it is watched for a renewal.
    LooksAbandoned(Instant),
    Reject(Rejection),
    /// The store cannot be asked, and the layer was told to run the operation all the same: within its limits.
    Unguarded(Permit),
    /// A layer outside guards the operation already: this is its attempt.
    Nested(Attempt),
}

/// A key that was acquired.
#[derive(Debug)]
pub(super) struct Reserved {
    pub(super) lease: Lease,
    /// Before the store was asked: the lease lapses there no sooner than by this reckoning.
    pub(super) since: Instant,
    /// Where others in this process wait for the response.
    pub(super) place: Option<Place>,
    /// What the limits gave, until the record is settled.
    pub(super) permit: Permit,
}
