//! What a caller asks a store for, and what comes of it.

use std::time::Duration;

use super::{Lease, Record, Token};
use crate::record::fingerprint::Fingerprint;
use crate::record::key::{ScopeDigest, StorageKey};

/// What a caller of [`Store::reserve`](super::Store::reserve) asks for.
#[derive(Debug, Clone)]
pub struct ReserveRequest {
    /// The name of the record.
    pub key: StorageKey,
    /// The scope of the key. A store may limit what one scope takes.
    pub scope: ScopeDigest,
    /// The request that the key is bound to.
    pub fingerprint: Fingerprint,
    /// How long the attempt is taken to be alive without a sign of life.
    pub lease: Duration,
    /// How long the pending record stays, so that an abandoned attempt is known as such. Longer than the lease.
    pub retention: Duration,
    /// Which `failed` records of the same fingerprint are taken over.
    pub retry_failed: RetryFailed,
    /// Whether an abandoned record of the same fingerprint is taken over.
    pub retry_abandoned: bool,
}

/// Which failed records a reservation takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryFailed {
    /// None.
    Never,
    /// That of one attempt: the one that the caller has waited for.
    Only(Token),
    /// Any.
    Any,
}

/// What [`Store::reserve`](super::Store::reserve) came to.
#[derive(Debug, Clone)]
pub enum Reservation {
    /// The key is the caller's: run the operation and settle the lease.
    Acquired(Lease),
    /// The record of another attempt was found.
    Found(Record),
}

/// A pending record that a request waits for.
#[derive(Debug, Clone, Copy)]
pub struct PendingRef {
    /// The name of the record.
    pub key: StorageKey,
    /// The token it had.
    pub token: Token,
}
