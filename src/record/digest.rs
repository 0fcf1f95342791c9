//! The only digest of several values in this crate: each value follows its length, under a label
//! for the purpose.

use std::cell::Cell;
use std::mem::take;

use super::frame::Writer;

/// The buffer stays with its thread up to this many bytes.
const SPARE: usize = 4096;

/// Content up to this many bytes is copied in front of its fields. The copy and one call of BLAKE3
/// cost less than three calls.
const SMALL: usize = 1024;

thread_local! {
    /// The next digest of the thread uses the buffer of the last one.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A BLAKE3 digest over length-framed fields, so that no two lists of fields have the same input.
pub(crate) struct Framed(Vec<u8>);

impl Framed {
    /// Starts a digest. The label separates it from digests for other purposes and of other
    /// versions.
    pub(crate) fn new(label: &'static str) -> Self {
        // The fields are collected first and digested at once. For a storage key this takes a third
        // fewer instructions than hashing them one by one.
        let mut framed = Self(BUFFER.try_with(Cell::take).unwrap_or_default());
        framed.field(label.as_bytes());
        framed
    }

    pub(crate) fn field(&mut self, value: &[u8]) {
        Writer::new(&mut self.0).sized(value);
    }

    /// Adds the number of fields that follow, where it varies. So a list cannot be confused with
    /// the fields after it.
    pub(crate) fn count(&mut self, fields: usize) {
        Writer::new(&mut self.0).number(fields);
    }

    /// Adds a placeholder for a count that is known only later. Returns its position for
    /// [`set_count`](Self::set_count).
    pub(crate) fn count_later(&mut self) -> usize {
        self.field(&[0; size_of::<u64>()]);
        self.0.len() - size_of::<u64>()
    }

    pub(crate) fn set_count(&mut self, position: usize, fields: usize) {
        self.0[position..][..size_of::<u64>()].copy_from_slice(&(fields as u64).to_le_bytes());
    }

    /// Returns the digest. With a secret it is keyed (BLAKE3's keyed mode).
    pub(crate) fn finish(self, secret: Option<&[u8; 32]>) -> blake3::Hash {
        match secret {
            Some(secret) => blake3::keyed_hash(secret, &self.0),
            None => blake3::hash(&self.0),
        }
    }

    /// Returns the digest of `content` followed by the fields, keyed as in
    /// [`finish`](Self::finish).
    ///
    /// The length of the content comes last, at a fixed size, so that no byte can move between
    /// content and fields. The content comes first because BLAKE3 is fastest on long input that
    /// starts at a chunk boundary.
    pub(crate) fn finish_behind(
        mut self,
        content: &[u8],
        secret: Option<&[u8; 32]>,
    ) -> blake3::Hash {
        self.0.extend_from_slice(&(content.len() as u64).to_le_bytes());
        if content.len() <= SMALL {
            let fields = self.0.len();
            self.0.extend_from_slice(content);
            self.0.rotate_left(fields);
            return self.finish(secret);
        }
        let mut hasher = secret.map_or_else(blake3::Hasher::new, blake3::Hasher::new_keyed);
        hasher.update(content).update(&self.0).finalize()
    }
}

impl Drop for Framed {
    fn drop(&mut self) {
        if self.0.capacity() <= SPARE {
            self.0.clear();
            // A thread that ends has no buffer any more.
            let _ = BUFFER.try_with(|buffer| buffer.set(take(&mut self.0)));
        }
    }
}

#[cfg(test)]
mod tests;
