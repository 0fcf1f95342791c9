//! Guides: how to choose and run what the reference describes.
//!
//! - [`one_operation`]: which requests are the same operation, case by case.
//! - [`what_is_kept`]: what a store holds, and how to have it hold less.
//! - [`stores`]: which store, and which mode.
//! - [`exactly_once`]: what transaction mode makes exactly once, and what it cannot.
//! - [`pools`]: how large a pool, and what happens when it is used up.
//! - [`retention`]: how long records stay, and who deletes them.
//! - [`statuses`]: what each status of a response means, and what the next request sees.
//! - [`threat_model`]: who may attack, what stops each, and a checklist for production.
//! - [`clients`]: what to send, what each response means, and when a key may go.
//! - [`browsers`]: requests from pages of another origin (CORS).

#[doc = include_str!("guide/one_operation.md")]
pub mod one_operation {}

#[doc = include_str!("guide/what_is_kept.md")]
pub mod what_is_kept {}

#[doc = include_str!("guide/stores.md")]
pub mod stores {}

#[doc = include_str!("guide/exactly_once.md")]
pub mod exactly_once {}

#[doc = include_str!("guide/pools.md")]
pub mod pools {}

#[doc = include_str!("guide/retention.md")]
pub mod retention {}

#[doc = include_str!("guide/statuses.md")]
pub mod statuses {}

#[doc = include_str!("guide/clients.md")]
pub mod clients {}

#[doc = include_str!("guide/browsers.md")]
pub mod browsers {}

#[doc = include_str!("guide/threat_model.md")]
pub mod threat_model {}
