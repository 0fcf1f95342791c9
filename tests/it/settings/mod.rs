//! The settings for the stored part of a response, the source of keys, the identity of an
//! operation, and the limits.

mod body_key;
mod directive;
mod limits;
mod profiles;
mod retention;
mod stored_response;
