//! The [`RecordLabel`]: what a record says of its operation for operators.

use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::OnceLock;

/// Says which operation a record belongs to: the namespace of the layer and the route.
///
/// Records have one if the layer is set to
/// [`label_records`](crate::IdempotencyLayer::label_records). A label contains nothing that a
/// client chooses.
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct RecordLabel {
    /// The [`namespace`](crate::IdempotencyLayer::namespace) of the layer.
    pub namespace: String,
    /// The method and the template of the path, for example `POST /payments/{id}/refunds`.
    pub route: String,
    memo: Memo,
}

/// What a user of the label remembers with it, such as the keys of its metrics.
#[derive(Default)]
#[cfg_attr(not(feature = "metrics"), expect(dead_code, reason = "only metrics remember something"))]
struct Memo(OnceLock<Box<dyn Any + Send + Sync>>);

impl RecordLabel {
    /// The longest namespace and the longest route, in bytes. A longer one is cut.
    pub const MAX_LEN: usize = 128;

    /// A label of these parts.
    pub fn new(namespace: &str, route: &str) -> Self {
        Self { namespace: cut(namespace), route: cut(route), memo: Memo::default() }
    }

    /// The path in the route. `None`: the route is not a method and a path.
    pub(crate) fn path(&self) -> Option<&str> {
        self.route.split_once(' ').map(|(_, path)| path)
    }

    /// Returns what was remembered with this label, or makes it. `None`: it is of another type.
    #[cfg(feature = "metrics")]
    pub(crate) fn remember<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Option<&T> {
        self.memo.0.get_or_init(|| Box::new(make())).downcast_ref()
    }
}

impl fmt::Debug for RecordLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordLabel({:?}, {:?})", self.namespace, self.route)
    }
}

/// A copy begins without it, and labels are equal whatever it is.
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

/// The text without control characters, which could change what a terminal shows.
fn cut(text: &str) -> String {
    let mut cut: String = text.chars().filter(|char| !char.is_control()).collect();
    cut.truncate(cut.floor_char_boundary(RecordLabel::MAX_LEN));
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_short_and_has_no_control_characters() {
        let label = RecordLabel::new("pay\u{1b}[2J\nments", &"ä".repeat(100));
        assert_eq!(label.namespace, "pay[2Jments");
        assert_eq!(label.route, "ä".repeat(64));
    }
}
