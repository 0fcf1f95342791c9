//! The PostgreSQL store against real servers.

mod contract;
mod errors;
mod faults;
mod locks;
mod operators;
mod round_trips;
mod set_up_wrongly;
mod table;
#[cfg(feature = "postgres-tls-rustls")]
mod tls;
