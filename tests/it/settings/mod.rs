//! The settings that say what is kept of an answer, where keys come from, what one operation is,
//! and how much is taken.

mod body_key;
mod directive;
mod limits;
mod profiles;
mod retention;
mod stored_response;
