//! What holds over every store, in lease mode and in transaction mode.

mod check;
mod clock;
mod earlier_attempts;
mod execute;
mod nested;
mod operators;
#[cfg(all(feature = "encryption", feature = "compression"))]
mod packed;
#[cfg(feature = "quota")]
mod quota;
#[cfg(all(feature = "encryption", feature = "compression"))]
mod secrecy;
mod statuses;
