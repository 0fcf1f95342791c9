//! [`CanonicalBody`]: the body by what it says, not by how it is spelled.

use std::collections::BTreeSet;

use http::header;

use super::{Fields, Fingerprint, Input, JsonPointer, MOST_VALUES};

mod form;
mod json;
mod multipart;
mod number;

#[cfg(fuzzing)]
pub(crate) use json::{canonical, parse};

/// A rule that goes by what the body says: JSON in its canonical form (RFC 8785), a form by its
/// fields, multipart by its parts. The method, the path and query, and the chosen headers count
/// too. So do the media type and its parameters, except the boundary and the charset UTF-8.
///
/// The raw bytes of a body count, as without this rule, where it cannot be sure of what the handler
/// reads: the body does not parse, is compressed (`Content-Encoding`) or is of another media type.
/// Each kind has cases of its own.
///
/// # Large bodies
///
/// The raw bytes also count where a body has more than 10,000 pieces. The layer stops reading at
/// this budget. So no body within the default limit of 1 MiB takes more than 8 MiB of memory or 10
/// ms of a worker. These are the pieces:
///
/// - JSON: each value, nested ones included. A member of an object and its name are one piece.
/// - A form: each field, including an empty one between two `&`.
/// - Multipart: each header, and ten for each part. A part whose head is longer than 8 KiB is over
///   the budget too.
///
/// A retry of such a body must have the same bytes, and [`ignore`](Self::ignore) and
/// [`only`](Self::only) have no effect. The layer logs this at the level `debug`. If your API takes
/// larger batches, put the nonce into a header.
///
/// ```
/// use tower_idempotency::{CanonicalBody, JsonPointer};
///
/// // Neither of the two makes it another operation.
/// let payment = CanonicalBody::any()
///     .ignore(JsonPointer::from_static("/nonce"))
///     .ignore(JsonPointer::from_static("/client/sent_at"));
///
/// // Whatever else the body says, it is the same transfer.
/// let transfer = CanonicalBody::json()
///     .only([JsonPointer::from_static("/to"), JsonPointer::from_static("/amount")]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanonicalBody {
    kinds: Vec<Kind>,
    ignored: BTreeSet<JsonPointer>,
    only: Option<BTreeSet<JsonPointer>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    Form,
    Multipart,
}

impl CanonicalBody {
    /// Takes JSON (`application/json`, `…+json`) in its canonical form: the order of members, white
    /// space, escapes and the spelling of numbers do not count.
    ///
    /// Raw bytes count where two readers may read two things:
    ///
    /// - a name that is twice in an object;
    /// - an integer beyond ±2^53, or another number that a double of that size does not hold
    ///   exactly;
    /// - a number with more than 17 significant digits that a double does not hold;
    /// - a byte order mark, text that is not UTF-8, half a surrogate pair, more than 127 levels.
    ///
    /// They also count with more than 10,000 values. Two decimal fractions of 17 digits that are
    /// the same double are the same number, as RFC 8785 has it.
    pub fn json() -> Self {
        Self::of(vec![Kind::Json])
    }

    /// Takes a form (`application/x-www-form-urlencoded`) by its fields: their order does not
    /// count, but that of several values of one field does; nor does how bytes are escaped. Where a
    /// name holds `[]`, all of the order counts.
    ///
    /// Raw bytes count where the decoded text is not UTF-8, an escape is not whole, or there are
    /// more than 10,000 fields.
    pub fn form() -> Self {
        Self::of(vec![Kind::Form])
    }

    /// Takes `multipart/form-data` by its parts, in their order, each with its headers and every
    /// byte, as axum's extractor reads them. The boundary does not count.
    ///
    /// Raw bytes count if anything but white space is before the first part or after the last one,
    /// because other readers may find parts there. They also count with more than some 1,000 parts,
    /// each header making it fewer: see [`CanonicalBody`].
    pub fn multipart() -> Self {
        Self::of(vec![Kind::Multipart])
    }

    /// Takes each of the three as its own constructor does.
    pub fn any() -> Self {
        Self::of(vec![Kind::Json, Kind::Form, Kind::Multipart])
    }

    fn of(kinds: Vec<Kind>) -> Self {
        Self { kinds, ignored: BTreeSet::new(), only: None }
    }

    /// Leaves out what stands at this place: a nonce, a time stamp of the client. There or not
    /// makes no difference, except that the elements of an array are still counted: the one at
    /// `/items/0` may be anything, and `/items/1` stays the second. Of a form or multipart `/name`
    /// is every field with that name.
    #[must_use]
    pub fn ignore(mut self, pointer: JsonPointer) -> Self {
        self.ignored.insert(pointer);
        self
    }

    /// Lets only what stands at these places count; that something is not there counts too. It
    /// takes the place of what an earlier call said. What is also ignored stays ignored.
    #[must_use]
    pub fn only(mut self, pointers: impl IntoIterator<Item = JsonPointer>) -> Self {
        self.only = Some(pointers.into_iter().collect());
        self
    }

    /// Adds what this rule says of an operation, its method, path and chosen headers included, for
    /// a [`FingerprintRule`](super::FingerprintRule) that has more to say. `false`, with nothing
    /// added: raw bytes would count.
    ///
    /// ```
    /// # use tower_idempotency::{IdempotencyLayer, MemoryStore};
    /// use tower_idempotency::CanonicalBody;
    ///
    /// #[derive(Clone)]
    /// struct Account(u64);
    ///
    /// let body = CanonicalBody::json();
    /// let layer = IdempotencyLayer::new(MemoryStore::new()).fingerprint_fn(move |operation, fields| {
    ///     let account = operation.extensions().get::<Account>();
    ///     fields.add_list(account.map(|account| account.0.to_be_bytes()));
    ///     body.describe(operation, fields)
    /// });
    /// ```
    pub fn describe(&self, operation: &Input<'_>, fields: &mut Fields<'_>) -> bool {
        let (Some(media_type), Some(kind)) = (operation.media_type(), self.kind_of(operation)) else {
            return false;
        };
        let content = match kind {
            Kind::Json => json::content(operation.body(), self),
            Kind::Form => form::content(operation.body(), self),
            Kind::Multipart => multipart::content(operation, self),
        };
        let Some(content) = content else {
            return false;
        };
        // The setting is a part of the input, so that what was written under another never has the
        // same fingerprint.
        fields.add([kind.version()]);
        fields.add_list(self.ignored.iter().map(JsonPointer::as_str));
        match &self.only {
            None => fields.add("all"),
            Some(only) => fields.add("only").add_list(only.iter().map(JsonPointer::as_str)),
        };
        fields.add_target(operation).add_chosen_headers(operation).add(&*media_type);
        fields.add_list(operation.parameters());
        fields.add_list(content.fields());
        true
    }

    /// The version of the fingerprint if this rule has something to say of the operation.
    pub(super) fn version_of(&self, operation: &Input<'_>) -> Option<u8> {
        self.kind_of(operation).map(Kind::version)
    }

    fn kind_of(&self, operation: &Input<'_>) -> Option<Kind> {
        if operation.headers().contains_key(header::CONTENT_ENCODING) {
            return None;
        }
        let kind = Kind::of(&operation.media_type()?)?;
        self.kinds.contains(&kind).then_some(kind)
    }
}

impl Kind {
    fn of(media_type: &str) -> Option<Self> {
        match media_type {
            "application/x-www-form-urlencoded" => Some(Self::Form),
            "multipart/form-data" => Some(Self::Multipart),
            "application/json" => Some(Self::Json),
            suffixed => suffixed.ends_with("+json").then_some(Self::Json),
        }
    }

    fn version(self) -> u8 {
        match self {
            Self::Json => Fingerprint::JSON,
            Self::Form => Fingerprint::FORM,
            Self::Multipart => Fingerprint::MULTIPART,
        }
    }
}

/// What a rule says of a body: fields whose number and order follow from what came before them. All
/// are in one buffer, because there can be many small ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Content {
    bytes: Vec<u8>,
    /// Where each field ends.
    ends: Vec<usize>,
}

impl Content {
    fn push(&mut self, field: &[u8]) {
        self.bytes.extend_from_slice(field);
        self.ends.push(self.bytes.len());
    }

    /// Adds a count as a field of its own.
    fn count(&mut self, number: usize) {
        self.push(&(number as u64).to_le_bytes());
    }

    /// Sets the first field, which is a count.
    fn set_first(&mut self, number: usize) {
        self.bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
    }

    /// Adds what `write` appends as one field.
    fn write(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Option<()>) -> Option<()> {
        write(&mut self.bytes)?;
        self.ends.push(self.bytes.len());
        Some(())
    }

    fn fields(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }
}

#[cfg(test)]
mod tests;
