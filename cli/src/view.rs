//! How records look: tables for people, JSON for programs.

pub(crate) mod age;
pub(crate) mod checklist;
pub(crate) mod clean;
pub(crate) mod json;
pub(crate) mod record;
pub(crate) mod stats;
pub(crate) mod table;
