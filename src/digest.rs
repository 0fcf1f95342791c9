//! The one way in which this crate digests several values: each behind its length, under a label for its purpose.

/// A BLAKE3 digest over length-framed fields, so that no two lists of fields have the same input.
pub(crate) struct Framed(blake3::Hasher);

impl Framed {
    /// Starts a digest whose label keeps it apart from digests made for another purpose or by another version.
    pub(crate) fn new(secret: Option<&[u8; 32]>, label: &'static str) -> Self {
        let hasher = match secret {
            Some(secret) => blake3::Hasher::new_keyed(secret),
            None => blake3::Hasher::new(),
        };
        let mut framed = Self(hasher);
        framed.field(label.as_bytes());
        framed
    }

    pub(crate) fn field(&mut self, value: &[u8]) {
        self.0.update(&(value.len() as u64).to_le_bytes());
        self.0.update(value);
    }

    /// Adds how many fields follow, where that number varies, so that a list cannot run into what stands after it.
    pub(crate) fn count(&mut self, fields: usize) {
        self.0.update(&(fields as u64).to_le_bytes());
    }

    pub(crate) fn finish(self) -> blake3::Hash {
        self.0.finalize()
    }
}
