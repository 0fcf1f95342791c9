//! Values that a file has as text: durations, sizes, names.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use http::{HeaderName, Method};
use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::record::fingerprint::JsonPointer;

/// A value that is written as [`Text`] says.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
pub(crate) struct AsText<T>(pub(crate) T);

pub(crate) trait Text: Sized {
    /// What an error says about a value that cannot be read.
    const EXPECTED: &'static str;

    fn read(text: &str) -> Option<Self>;

    fn write(&self) -> String;

    /// Most values are not numbers.
    fn of_number(_: u64) -> Option<Self> {
        None
    }
}

impl Text for Duration {
    const EXPECTED: &'static str = "a duration like 300ms, 10s, 5m (minutes) or 24h";

    fn read(text: &str) -> Option<Self> {
        // `5M` is five months there, and a typing error for five minutes here.
        humantime::parse_duration(text).ok().filter(|_| !text.contains('M'))
    }

    fn write(&self) -> String {
        humantime::format_duration(*self).to_string()
    }
}

/// From the largest to the smallest, so that a size is written in the largest unit that fits.
const UNITS: [(&str, usize); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// A size in bytes.
impl Text for usize {
    const EXPECTED: &'static str = "a size like 64KiB or 1MiB, or a number of bytes";

    fn read(text: &str) -> Option<Self> {
        let end = text.find(|digit: char| !digit.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let unit = if unit.is_empty() { "B" } else { unit.trim_start() };
        let (_, bytes) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
        number.parse::<usize>().ok()?.checked_mul(bytes)
    }

    fn write(&self) -> String {
        let fits = |bytes: usize| *self > 0 && self.is_multiple_of(bytes);
        let unit = UNITS.into_iter().find(|(_, bytes)| fits(*bytes));
        let (name, bytes) = unit.unwrap_or(("B", 1));
        format!("{}{name}", self / bytes)
    }

    fn of_number(bytes: u64) -> Option<Self> {
        bytes.try_into().ok()
    }
}

impl Text for HeaderName {
    const EXPECTED: &'static str = "the name of a header";

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

/// `post` would be another method than `POST`, and no client sends it.
impl Text for Method {
    const EXPECTED: &'static str = "a method in upper case, such as POST";

    fn read(text: &str) -> Option<Self> {
        let is_lower = text.contains(|letter: char| letter.is_ascii_lowercase());
        text.parse().ok().filter(|_| !is_lower)
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Text for JsonPointer {
    const EXPECTED: &'static str = "a JSON pointer like /idempotency_key";

    fn read(text: &str) -> Option<Self> {
        Self::new(text).ok()
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl<T: Text> fmt::Display for AsText<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.write())
    }
}

impl<T: Text> Serialize for AsText<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.write())
    }
}

impl<'de, T: Text> Deserialize<'de> for AsText<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader(PhantomData)).map(Self)
    }
}

struct Reader<T>(PhantomData<T>);

impl<T: Text> Visitor<'_> for Reader<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::read(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        T::of_number(number).ok_or_else(|| E::invalid_type(Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        let unsigned = u64::try_from(number).ok().and_then(T::of_number);
        unsigned.ok_or_else(|| E::invalid_type(Unexpected::Signed(number), &self))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_size_is_written_in_the_largest_unit_that_fits() {
        for (bytes, text) in
            [(0, "0B"), (1, "1B"), (1025, "1025B"), (3 << 10, "3KiB"), (1 << 20, "1MiB")]
        {
            assert_eq!(bytes.write(), text);
            assert_eq!(usize::read(text), Some(bytes));
        }
        assert_eq!(usize::read(&usize::MAX.write()), Some(usize::MAX));
        assert_eq!((usize::read("65536"), usize::read("2 GiB")), (Some(65536), Some(2 << 30)));
    }

    #[test]
    fn a_size_with_a_doubtful_unit_is_rejected() {
        for text in
            ["", "MiB", "1M", "1MB", "1mib", "1.5MiB", "-1", "+1", "1MiB ", "1e3", "99999999999GiB"]
        {
            assert_eq!(usize::read(text), None, "{text}");
        }
    }

    #[test]
    fn a_duration_has_a_unit() {
        for text in ["", "10", "s", "-10s", "10x", "5M", "10S"] {
            assert_eq!(Duration::read(text), None, "{text}");
        }
        let long = Duration::new(400 * 24 * 60 * 60, 7);
        assert_eq!(Duration::read(&long.write()), Some(long));
    }

    #[test]
    fn a_method_in_lower_case_is_rejected() {
        assert_eq!(Method::read("POST"), Some(Method::POST));
        assert_eq!(Method::read("post").or(Method::read("Post")).or(Method::read("")), None);
    }
}
