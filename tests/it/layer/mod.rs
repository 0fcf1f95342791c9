//! The contract, row by row, through a socket.

mod abandoned;
mod blocking;
#[cfg(feature = "canonical")]
mod canonical;
mod capacity;
mod downstream;
mod early;
mod events;
mod fingerprint;
mod forged;
mod gateway;
mod gone;
mod hang_up;
mod in_flight;
mod keys;
mod layering;
mod lost_lease;
mod nested;
mod operators;
mod outage;
mod rejecting_stores;
mod rejections;
mod replay;
mod request_body;
mod scope;
#[cfg(feature = "encryption")]
mod sealed;
mod shutdown;
mod stacks;
mod stalled;
mod status;
#[cfg(feature = "metrics")]
mod telemetry;
mod told;
mod traces;
mod unguarded;
mod uploads;
mod waiting;
