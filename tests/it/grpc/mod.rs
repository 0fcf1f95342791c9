//! gRPC through real sockets, mostly with tonic at both ends.

mod bank;
mod calls;
mod classes;
mod rejections;
mod wire;
