//! Guides, each with one job.
//!
//! # Choose
//!
//! - [`stores`]: which store, and which mode.
//! - [`guarantees`]: what each store guarantees, and what it does not.
//! - [`exactly_once`]: what transaction mode makes exactly once, and what it cannot.
//! - [`coming_from`]: what differs from Stripe and others, and how to get it.
//!
//! # Set up
//!
//! - [`layers`]: where the layer belongs among other layers, and why.
//! - [`settings`]: every setting, its default, and its setter.
//! - [`one_operation`]: which requests are the same operation, case by case.
//! - [`what_is_stored`]: what a store contains, and how to store less.
//! - [`retention`]: how long records are stored, and who deletes them.
//! - [`pools`]: how large a pool, and what happens when it is used up.
//! - [`browsers`]: requests from pages of another origin (CORS).
//! - [`openapi`]: the layer's part of an OpenAPI document.
//! - [`beyond_axum`]: hyper, gRPC, and work that is not a request.
//!
//! # Look up
//!
//! - [`responses`]: what a client gets, in each situation.
//! - [`statuses`]: what each status of a response means, and what the next request sees.
//! - [`failures`]: what happens when a client, a process, a network or a store fails.
//! - [`faq`]: frequently asked questions.
//!
//! # Run
//!
//! - [`testing`]: how to test a service that uses the layer.
//! - [`pitfalls`]: what goes wrong, how you notice, and what to do.
//! - [`threat_model`]: attackers, the defence against each, and a checklist.
//! - [`operations`]: a stuck key, a crash, an outage, an end.
//! - [`runbook`]: each alert, each state, and eight incidents, with the commands.
//!
//! # The other side
//!
//! - [`clients`]: what to send, what each response means, and when a key can be dropped.

#[doc = include_str!("guide/stores.md")]
pub mod stores {}

#[doc = include_str!("guide/guarantees.md")]
pub mod guarantees {}

#[doc = include_str!("guide/exactly_once.md")]
pub mod exactly_once {}

#[doc = include_str!("guide/coming_from.md")]
pub mod coming_from {}

#[doc = include_str!("guide/layers.md")]
pub mod layers {}

#[doc = include_str!("guide/settings.md")]
pub mod settings {}

#[doc = include_str!("guide/one_operation.md")]
pub mod one_operation {}

#[doc = include_str!("guide/what_is_stored.md")]
pub mod what_is_stored {}

#[doc = include_str!("guide/retention.md")]
pub mod retention {}

#[doc = include_str!("guide/pools.md")]
pub mod pools {}

#[doc = include_str!("guide/browsers.md")]
pub mod browsers {}

#[doc = include_str!("guide/openapi.md")]
pub mod openapi {}

#[doc = include_str!("guide/beyond_axum.md")]
pub mod beyond_axum {}

#[doc = include_str!("guide/responses.md")]
pub mod responses {}

#[doc = include_str!("guide/statuses.md")]
pub mod statuses {}

#[doc = include_str!("guide/failures.md")]
pub mod failures {}

#[doc = include_str!("guide/faq.md")]
pub mod faq {}

#[doc = include_str!("guide/testing.md")]
pub mod testing {}

#[doc = include_str!("guide/pitfalls.md")]
pub mod pitfalls {}

#[doc = include_str!("guide/threat_model.md")]
pub mod threat_model {}

#[doc = include_str!("guide/operations.md")]
pub mod operations {}

#[doc = include_str!("guide/runbook.md")]
#[allow(clippy::doc_markdown, reason = "the headings are the names of alerts")]
pub mod runbook {}

#[doc = include_str!("guide/clients.md")]
pub mod clients {}
