//! [`Fields`]: the sink for the fields of a fingerprint rule.

use std::fmt;

use http::HeaderName;

use super::Input;
use crate::record::digest::Framed;

/// Collects the fields that a rule adds for an operation.
///
/// Each field is framed, so different lists of fields never have the same digest input. `["ab",
/// "c"]` differs from `["a", "bc"]`, and an absent field differs from an empty one.
pub struct Fields<'a> {
    framed: Framed,
    chosen: &'a [HeaderName],
}

impl<'a> Fields<'a> {
    pub(super) fn new(framed: Framed, chosen: &'a [HeaderName]) -> Self {
        Self { framed, chosen }
    }

    /// Adds one field.
    pub fn add(&mut self, field: impl AsRef<[u8]>) -> &mut Self {
        self.framed.field(field.as_ref());
        self
    }

    /// Adds a list whose length varies between operations. The list cannot be confused with the
    /// fields after it.
    ///
    /// Add an optional field as a list with at most one element.
    pub fn add_list<T: AsRef<[u8]>>(&mut self, list: impl IntoIterator<Item = T>) -> &mut Self {
        let position = self.framed.count_later();
        let mut count = 0;
        for field in list {
            self.add(field);
            count += 1;
        }
        self.framed.set_count(position, count);
        self
    }

    /// Adds the method, and the path and query that the client sent.
    pub fn add_target(&mut self, operation: &Input<'_>) -> &mut Self {
        self.add(operation.method().as_str()).add(operation.path_and_query())
    }

    /// Adds every value of one header.
    pub fn add_header(&mut self, operation: &Input<'_>, name: &HeaderName) -> &mut Self {
        self.add(name).add_list(operation.headers().get_all(name))
    }

    /// Adds the headers that [`fingerprint_headers`](crate::IdempotencyLayer::fingerprint_headers)
    /// chose.
    pub fn add_chosen_headers(&mut self, operation: &Input<'_>) -> &mut Self {
        self.add((self.chosen.len() as u64).to_le_bytes());
        self.chosen.iter().fold(self, |fields, name| fields.add_header(operation, name))
    }

    pub(super) fn finish(self, secret: Option<&[u8; 32]>) -> blake3::Hash {
        self.framed.finish(secret)
    }
}

/// Shows no fields, because they contain the client's data.
impl fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fields(..)")
    }
}
