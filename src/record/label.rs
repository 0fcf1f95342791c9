//! The [`RecordLabel`]: what a record says of its operation for operators.

use std::fmt;

#[cfg(feature = "metrics")]
mod memo;
#[cfg(not(feature = "metrics"))]
#[path = "label/memo/off.rs"]
mod memo;

use memo::Memo;

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
}

impl fmt::Debug for RecordLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordLabel({:?}, {:?})", self.namespace, self.route)
    }
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
