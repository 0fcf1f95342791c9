//! The PostgreSQL store against real servers.

mod contract;
mod errors;
mod faults;
mod locks;
mod table;
