//! [`CanonicalBody`]: compares bodies by their content, not by their spelling.

use std::collections::BTreeSet;

use http::header;

use super::{Fields, Fingerprint, Input, JsonPointer, MOST_VALUES};

mod form;
mod json;
mod multipart;
mod number;

#[cfg(fuzzing)]
pub(crate) use json::{canonical, parse};

/// A rule that compares bodies by their content: JSON in its canonical form (RFC 8785), a form by
/// its fields, multipart by its parts.
///
/// The fingerprint also includes the method, the path and query, the chosen headers, and the media
/// type with its parameters. It excludes the boundary and the charset UTF-8.
///
/// Where the rule cannot be sure of what the handler reads, the raw bytes of the body count, as
/// without the rule. That is so if the body does not parse, is compressed (`Content-Encoding`), or
/// has another media type. Each type of body has further cases.
///
/// # Large bodies
///
/// The raw bytes also count if a body has more than 10,000 pieces. The layer stops reading at this
/// limit. So no body within the default limit of 1 MiB takes more than 8 MiB of memory or 10 ms of
/// a worker. These are the pieces:
///
/// - JSON: each value, including nested ones. A member of an object and its name are one piece.
/// - A form: each field, including an empty one between two `&`.
/// - Multipart: each header, and ten for each part. A part whose head is longer than 8 KiB also
///   exceeds the limit.
///
/// A retry of such a body must have the same bytes, and [`ignore`](Self::ignore) and
/// [`only`](Self::only) have no effect. The layer logs this at the level `debug`. If your API
/// accepts larger batches, put the nonce into a header.
///
/// ```
/// use tower_idempotency::{CanonicalBody, JsonPointer};
///
/// // Neither member makes a different operation.
/// let payment = CanonicalBody::any()
///     .ignore(JsonPointer::from_static("/nonce"))
///     .ignore(JsonPointer::from_static("/client/sent_at"));
///
/// // Only these two members identify the transfer.
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
    /// Compares JSON (`application/json`, `…+json`) by its canonical form. The order of members,
    /// white space, escapes and the spelling of numbers do not count.
    ///
    /// The raw bytes count where two readers may understand the text differently:
    ///
    /// - An object contains a name twice.
    /// - A number is an integer beyond ±2^53, or another number of that size that a double does not
    ///   represent exactly.
    /// - A number has more than 17 significant digits, and a double does not represent it.
    /// - The text has a byte order mark, is not UTF-8, or contains half a surrogate pair.
    /// - The text has more than 127 levels, or more than 10,000 values.
    ///
    /// Two decimal fractions of 17 digits are the same number if they are the same double, as in
    /// RFC 8785.
    pub fn json() -> Self {
        Self::of(vec![Kind::Json])
    }

    /// Compares a form (`application/x-www-form-urlencoded`) by its fields.
    ///
    /// The order of the fields and the escapes of bytes do not count. The order of several values
    /// of one field counts. If a name contains `[]`, the whole order counts.
    ///
    /// The raw bytes count in these cases:
    ///
    /// - The decoded text is not UTF-8.
    /// - An escape is incomplete.
    /// - There are more than 10,000 fields.
    pub fn form() -> Self {
        Self::of(vec![Kind::Form])
    }

    /// Compares `multipart/form-data` by its parts, in their order, each with its headers and every
    /// byte, as axum's extractor reads them. The boundary does not count.
    ///
    /// The raw bytes count in these cases:
    ///
    /// - Text other than white space precedes the first part or follows the last one, because other
    ///   readers may find parts there.
    /// - There are more than about 1,000 parts. Headers reduce that number: see [`CanonicalBody`].
    pub fn multipart() -> Self {
        Self::of(vec![Kind::Multipart])
    }

    /// Compares JSON, forms and multipart, each as its own constructor does.
    pub fn any() -> Self {
        Self::of(vec![Kind::Json, Kind::Form, Kind::Multipart])
    }

    fn of(kinds: Vec<Kind>) -> Self {
        Self { kinds, ignored: BTreeSet::new(), only: None }
    }

    /// Ignores the value at this place, such as a nonce or a time stamp of the client. Whether the
    /// value is present does not count either. By default nothing is ignored.
    ///
    /// The elements of an array are still counted: with `/items/0` ignored, the first element may
    /// be anything, and `/items/1` is still the second. In a form or multipart, `/name` means every
    /// field with that name.
    #[must_use]
    pub fn ignore(mut self, pointer: JsonPointer) -> Self {
        self.ignored.insert(pointer);
        self
    }

    /// Compares only the values at these places. Whether a value is present counts too. By default
    /// the whole body counts.
    ///
    /// The call replaces the places of an earlier call. A place that is also ignored stays ignored.
    #[must_use]
    pub fn only(mut self, pointers: impl IntoIterator<Item = JsonPointer>) -> Self {
        self.only = Some(pointers.into_iter().collect());
        self
    }

    /// Adds the fields of this rule for an operation, including its method, path and chosen
    /// headers. Use it inside a [`FingerprintRule`](super::FingerprintRule) that adds more fields.
    ///
    /// It returns `false` and adds nothing if the raw bytes would count.
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
        let (Some(media_type), Some(kind)) = (operation.media_type(), self.kind_of(operation))
        else {
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
        // The settings are part of the input, so a fingerprint under other settings is never equal.
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

    /// The version of the fingerprint, if this rule applies to the operation.
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

/// The fields of a body. Their number and order follow from the fields before them. One buffer
/// contains all of them, because there can be many small ones.
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

    /// Adds a count as a separate field.
    fn count(&mut self, number: usize) {
        self.push(&(number as u64).to_le_bytes());
    }

    /// Overwrites the first field, which is a count.
    fn set_first(&mut self, number: usize) {
        self.bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
    }

    /// Adds the output of `write` as one field.
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
