//! What a proxy must do right: messages, connections, and what became of them.

mod gateway;
mod raw;
mod upstream;

mod failures;
mod framing;
mod grpc;
mod headers;
mod messages;
mod reloads;
mod streams;
mod upgrades;
