//! The one way in which this crate digests several values: each behind its length, under a label
//! for its purpose.

use super::frame::Writer;

/// A BLAKE3 digest over length-framed fields, so that no two lists of fields have the same input.
pub(crate) struct Framed(Vec<u8>);

impl Framed {
    /// Starts a digest whose label keeps it apart from digests made for another purpose or by
    /// another version.
    pub(crate) fn new(label: &'static str) -> Self {
        // Enough for a usual request. The fields are collected first and digested in one go: for a storage
        // key this takes a third fewer instructions than to hash them one by one.
        let mut framed = Self(Vec::with_capacity(256));
        framed.field(label.as_bytes());
        framed
    }

    pub(crate) fn field(&mut self, value: &[u8]) {
        Writer::new(&mut self.0).sized(value);
    }

    /// Adds how many fields follow, where that number varies, so that a list cannot run into what
    /// stands after it.
    pub(crate) fn count(&mut self, fields: usize) {
        Writer::new(&mut self.0).number(fields);
    }

    /// Adds a count that is known only once what it counts was added; gives its place for
    /// [`set_count`](Self::set_count).
    pub(crate) fn count_later(&mut self) -> usize {
        self.field(&[0; size_of::<u64>()]);
        self.0.len() - size_of::<u64>()
    }

    pub(crate) fn set_count(&mut self, place: usize, fields: usize) {
        self.0[place..][..size_of::<u64>()].copy_from_slice(&(fields as u64).to_le_bytes());
    }

    /// The digest; a keyed one (BLAKE3's keyed mode) if there is a secret.
    pub(crate) fn finish(self, secret: Option<&[u8; 32]>) -> blake3::Hash {
        match secret {
            Some(secret) => blake3::keyed_hash(secret, &self.0),
            None => blake3::hash(&self.0),
        }
    }

    /// The digest of `content` with the fields behind it; keyed as in [`finish`](Self::finish). The
    /// length of the content comes last, at a fixed size, so that nothing can pass from one into
    /// the other. Content comes first because BLAKE3 is fastest on long input that starts where a
    /// chunk starts.
    pub(crate) fn finish_behind(mut self, content: &[u8], secret: Option<&[u8; 32]>) -> blake3::Hash {
        self.0.extend_from_slice(&(content.len() as u64).to_le_bytes());
        let mut hasher = secret.map_or_else(blake3::Hasher::new, blake3::Hasher::new_keyed);
        hasher.update(content).update(&self.0).finalize()
    }
}

#[cfg(test)]
mod tests;
