//! The SQLite store on real files.

mod busy;
mod contract;
mod damage;
mod faults;
mod given;
mod layer;
mod layout;
mod sweeping;
