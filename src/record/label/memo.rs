//! What a user of a label remembers with it: the keys of its metrics.

use std::any::Any;
use std::hash::{Hash, Hasher};
use std::sync::OnceLock;

use super::RecordLabel;

/// A copy begins without it, and labels are equal whatever it is.
#[derive(Default)]
pub(super) struct Memo(OnceLock<Box<dyn Any + Send + Sync>>);

impl RecordLabel {
    /// Returns what was remembered with this label, or makes it. `None`: it is of another type.
    pub(crate) fn remember<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Option<&T> {
        self.memo.0.get_or_init(|| Box::new(make())).downcast_ref()
    }
}

impl Clone for Memo {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Memo {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Memo {}

impl Hash for Memo {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}
