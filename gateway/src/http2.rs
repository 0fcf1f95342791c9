//! The windows of HTTP/2: how many bytes wait here until they can be passed on.
//!
//! They are fixed. A window that adapts begins at 64 KiB. h2 counts each DATA frame that waits as 256
//! bytes at least, and ends a connection on which half of its window waits. So a stream of short gRPC
//! messages would end it.

pub(crate) struct Windows {
    pub(crate) stream: u32,
    pub(crate) connection: u32,
}

/// Clients can be far away.
pub(crate) const OF_CLIENTS: Windows = Windows { stream: 1 << 20, connection: 4 << 20 };

/// One client that reads slowly must not end the connection of all, however short the messages are.
pub(crate) const OF_UPSTREAMS: Windows = Windows { stream: 128 << 10, connection: 16 << 20 };
