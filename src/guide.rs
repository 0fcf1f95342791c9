//! Guides: how to choose and run what the reference describes.
//!
//! - [`stores`]: which store, and which mode.
//! - [`exactly_once`]: what transaction mode makes exactly once, and what it cannot.
//! - [`pools`]: how large a pool, and what happens when it is used up.
//! - [`retention`]: how long records stay, and who deletes them.

#[doc = include_str!("guide/stores.md")]
pub mod stores {}

#[doc = include_str!("guide/exactly_once.md")]
pub mod exactly_once {}

#[doc = include_str!("guide/pools.md")]
pub mod pools {}

#[doc = include_str!("guide/retention.md")]
pub mod retention {}
