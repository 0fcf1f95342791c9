//! The values that all other modules use: keys, fingerprints and responses. They do no IO and read
//! no clock.

pub(crate) mod digest;
pub(crate) mod fingerprint;
pub(crate) mod frame;
pub(crate) mod hex;
pub(crate) mod key;
pub(crate) mod label;
pub(crate) mod outcome;
pub(crate) mod secret;
pub(crate) mod trace;
