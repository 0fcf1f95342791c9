//! The checks, by what they are about. Each says in its name what a store must do.

pub(super) mod contend;
pub(super) mod eviction;
pub(super) mod expiry;
pub(super) mod fencing;
pub(super) mod gone;
pub(super) mod inspection;
pub(super) mod leases;
pub(super) mod looks;
pub(super) mod operators;
pub(super) mod pace;
pub(super) mod races;
pub(super) mod release;
pub(super) mod responses;
pub(super) mod takeover;
pub(super) mod waiting;
