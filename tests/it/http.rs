//! The contract, row by row, through a socket.

mod blocking;
mod capacity;
mod downstream;
mod early;
mod fingerprint;
mod forged;
mod gateway;
mod gone;
mod in_flight;
mod keys;
mod lost_lease;
mod nested;
mod outage;
mod refusals;
mod rejecting;
mod replay;
mod request_body;
mod scope;
#[cfg(feature = "encryption")]
mod sealed;
mod shutdown;
mod stalled;
mod status;
mod unguarded;
mod uploads;
mod waiting;
