//! What a proxy must do right: messages, connections, and what became of them.

mod gateway;
mod raw;
mod upstream;

mod framing;
mod headers;
mod messages;
