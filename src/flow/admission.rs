//! What a request may do after the layer has asked the store.

use tokio::time::Instant;

use super::events::Origin;
use super::permit::Permit;
use super::waiting::Member;
use crate::handler::attempt::Attempt;
use crate::http::rejection::Rejection;
use crate::record::outcome::Outcome;
use crate::store::{Lease, PendingRef};

/// What a request may do.
#[derive(Debug)]
pub(super) enum Admission {
    /// The request has the key: run the operation.
    Run(Reserved),
    Replay(Outcome, Origin),
    /// The same request is running elsewhere.
    InFlight(PendingRef),
    /// The lease of an earlier attempt looks lapsed. The layer waits for a renewal until this
    /// instant.
    LooksAbandoned(Instant),
    Reject(Rejection),
    /// The store is down, and the policy is to run the operation without a record. The limits still
    /// count.
    Unguarded(Permit),
    /// An outer layer guards the operation already. This is its attempt.
    Nested(Attempt),
}

/// A reserved key.
#[derive(Debug)]
pub(super) struct Reserved {
    pub(super) lease: Lease,
    /// The instant before the store was asked. The lease lapses in the store no earlier than
    /// counted from here.
    pub(super) since: Instant,
    /// The line in which other requests of this process wait for the response.
    pub(super) member: Option<Member>,
    /// The permits of the limits, until the record is settled.
    pub(super) permit: Permit,
}
