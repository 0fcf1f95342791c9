//! What operators ask of a store: which records there are, and to change one by hand.
//!
//! A store has four methods for it: [`list`](super::Store::list), [`show`](super::Store::show),
//! [`intervene`](super::Store::intervene) and [`stats`](super::Store::stats). Their defaults say
//! [`Unsupported`](super::StoreErrorKind::Unsupported).
//! [`Operator`](crate::operate::Operator) decides what an operator may do. The store only carries
//! it out, in one atomic step.

mod info;
mod intervention;
mod list;
mod stats;

pub use info::{RecordInfo, RecordState};
pub use intervention::{
    AuditEntry, Becomes, History, Intervened, Intervention, OperatorAction, Shown,
};
pub use list::{Cursor, ListFilter, ListOrder, ListPage, ListRequest, Progress, StateFilter};
pub use stats::{StateStats, Stats, StatsPage};
