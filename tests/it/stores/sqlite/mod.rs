//! The SQLite store on real files.

mod busy;
mod contract;
mod damage;
mod faults;
mod full;
mod given;
mod layer;
mod layout;
mod modes;
mod operators;
mod set_up_wrongly;
mod sweeping;
