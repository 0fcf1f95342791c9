//! The sink into which a rule says what an operation is.

use std::fmt;

use http::HeaderName;

use super::Input;
use crate::record::digest::Framed;

/// Takes what a rule says of an operation. Each field is framed, so that no two different lists of
/// fields have the same digest input: neither `["ab", "c"]` and `["a", "bc"]`, nor a field that is
/// absent and one that is empty.
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

    /// Adds a list whose length varies from one operation to another, so that it cannot run into
    /// what follows it. A field that may be absent is a list of at most one.
    pub fn add_list<T: AsRef<[u8]>>(&mut self, list: impl IntoIterator<Item = T>) -> &mut Self {
        let place = self.framed.count_later();
        let mut count = 0;
        for field in list {
            self.add(field);
            count += 1;
        }
        self.framed.set_count(place, count);
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

/// Shows nothing of the fields, which are the client's.
impl fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fields(..)")
    }
}
