//! Parses a text into the nodes of a document, in one pass.

use std::borrow::Cow;
use std::ops::Range;

use super::{Flaw, Node, Value, order};
use crate::record::fingerprint::MOST_VALUES;

/// The deepest nesting of arrays and objects.
const LEVELS: usize = 127;
/// The most bytes of a number. No double needs so many, and parsing a longer number would be slow.
const LONGEST_NUMBER: usize = 2048;

/// Parses a text into its nodes. The last node is the whole document.
pub(super) fn read(text: &str) -> Result<Vec<Node<'_>>, Flaw> {
    let mut reader = Reader { text, at: 0, open: Vec::new(), closed: Vec::new() };
    let first = reader.next();
    let value = reader.value(first, LEVELS)?;
    if reader.next() != END || reader.at <= text.len() {
        return Err(Flaw::Unreadable);
    }
    let mut nodes = reader.closed;
    nodes.push(Node { name: Cow::Borrowed(""), value });
    Ok(nodes)
}

/// The byte that is read after the end of a text. It is not valid in JSON.
const END: u8 = 0;

struct Reader<'t> {
    text: &'t str,
    at: usize,
    /// The values of arrays and objects that have not ended.
    open: Vec<Node<'t>>,
    closed: Vec<Node<'t>>,
}

impl<'t> Reader<'t> {
    /// Takes the next byte.
    fn byte(&mut self) -> u8 {
        let byte = self.text.as_bytes().get(self.at).copied().unwrap_or(END);
        self.at += 1;
        byte
    }

    /// Takes the next byte that is not white space.
    fn next(&mut self) -> u8 {
        loop {
            let byte = self.byte();
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return byte;
            }
        }
    }

    /// Reads the rest of a value whose first byte was taken.
    fn value(&mut self, first: u8, levels: usize) -> Result<Value<'t>, Flaw> {
        match first {
            b'"' => self.string().map(Value::String),
            b'[' => self.children(b']', levels).map(Value::Array),
            b'{' => self.children(b'}', levels).map(Value::Object),
            b'n' => self.rest("ull", Value::Null),
            b't' => self.rest("rue", Value::Bool(true)),
            b'f' => self.rest("alse", Value::Bool(false)),
            _ => self.number().map(Value::Number),
        }
    }

    fn rest(&mut self, rest: &str, value: Value<'t>) -> Result<Value<'t>, Flaw> {
        let is_there = self.text.as_bytes()[self.at..].starts_with(rest.as_bytes());
        self.at += rest.len();
        if is_there { Ok(value) } else { Err(Flaw::Unreadable) }
    }

    fn children(&mut self, end: u8, levels: usize) -> Result<Range<usize>, Flaw> {
        let levels = levels.checked_sub(1).ok_or(Flaw::Unreadable)?;
        let from = self.open.len();
        let mut next = self.next();
        while next != end {
            let mut name = Cow::Borrowed("");
            if end == b'}' {
                name = if next == b'"' { self.string()? } else { return Err(Flaw::Unreadable) };
                if self.next() != b':' {
                    return Err(Flaw::Unreadable);
                }
                next = self.next();
            }
            let value = self.value(next, levels)?;
            // The whole document counts too.
            if self.open.len() + self.closed.len() + 1 >= MOST_VALUES {
                return Err(Flaw::Unreadable);
            }
            self.open.push(Node { name, value });
            next = self.next();
            // A value must follow a comma.
            let is_last = next != b',';
            next = if is_last { next } else { self.next() };
            if is_last != (next == end) {
                return Err(Flaw::Unreadable);
            }
        }
        let children = &mut self.open[from..];
        if end == b'}' {
            children.sort_unstable_by(|one, other| order(&one.name, &other.name));
            if children.windows(2).any(|pair| pair[0].name == pair[1].name) {
                return Err(Flaw::Repeated);
            }
        }
        let first = self.closed.len();
        self.closed.extend(self.open.drain(from..));
        Ok(first..self.closed.len())
    }

    /// Reads a string whose opening quote was taken.
    fn string(&mut self) -> Result<Cow<'t, str>, Flaw> {
        let from = self.at;
        let mut is_plain = true;
        loop {
            match self.byte() {
                b'"' => break,
                b'\\' => {
                    is_plain = false;
                    self.at += 1;
                }
                ..b' ' => return Err(Flaw::Unreadable),
                _ => {}
            }
        }
        let raw = self.text.get(from..self.at - 1).ok_or(Flaw::Unreadable)?;
        if is_plain {
            Ok(Cow::Borrowed(raw))
        } else {
            decoded(raw).map(Cow::Owned).ok_or(Flaw::Unreadable)
        }
    }

    /// Reads a number whose first byte was taken.
    fn number(&mut self) -> Result<&'t str, Flaw> {
        let from = self.at - 1;
        let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
        while self.text.as_bytes().get(self.at).is_some_and(is_part) {
            self.at += 1;
        }
        let literal = self.text.get(from..self.at).ok_or(Flaw::Unreadable)?;
        let is_read = is_number(literal.as_bytes()) && literal.len() <= LONGEST_NUMBER;
        if is_read && is_finite(literal) { Ok(literal) } else { Err(Flaw::Unreadable) }
    }
}

/// Whether the literal is exactly one JSON number.
fn is_number(literal: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut rest = literal.strip_prefix(b"-").unwrap_or(literal);
    let whole = digits(rest);
    if whole == 0 || (whole > 1 && rest[0] == b'0') {
        return false;
    }
    rest = &rest[whole..];
    if let [b'.', fraction @ ..] = rest {
        rest = &fraction[digits(fraction)..];
        if rest.len() == fraction.len() {
            return false;
        }
    }
    if let [b'e' | b'E', b'+' | b'-', exponent @ ..] | [b'e' | b'E', exponent @ ..] = rest {
        rest = &exponent[digits(exponent)..];
        return rest.is_empty() && !exponent.is_empty();
    }
    rest.is_empty()
}

/// Numbers with at most this many significant digits are always fast to parse.
const FAST_DIGITS: usize = 19;
/// The power of ten of the largest double.
const LARGEST: i64 = 308;

/// Whether a double can represent the number, rounded.
///
/// A number with many digits is judged by its power of ten, because parsing is slow near the middle
/// of two doubles. At the largest power it is rejected.
fn is_finite(number: &str) -> bool {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let whole = whole.trim_start_matches(['-', '0']);
    let zeros = fraction.len() - fraction.trim_start_matches('0').len();
    let leading = if whole.is_empty() { zeros } else { 0 };
    if whole.len() + fraction.len() - leading <= FAST_DIGITS {
        return number.parse().is_ok_and(f64::is_finite);
    }
    // For a number below 1, count the zeros after the point.
    let power = match i64::try_from(if whole.is_empty() { leading + 1 } else { whole.len() }) {
        Ok(below) if whole.is_empty() => -below,
        Ok(digits) => digits - 1,
        Err(_) => return false,
    };
    match exponent.parse::<i64>() {
        Ok(exponent) => exponent.saturating_add(power) < LARGEST,
        // The exponent does not fit an `i64`.
        Err(_) => exponent.starts_with('-'),
    }
}

/// Decodes the escapes of a string. Returns `None` if an escape is invalid or half a surrogate
/// pair.
fn decoded(raw: &str) -> Option<String> {
    let mut text = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        if *first != b'\\' {
            text.push(*first);
            continue;
        }
        let (escape, behind) = rest.split_first()?;
        rest = behind;
        match escape {
            b'"' | b'\\' | b'/' => text.push(*escape),
            b'b' => text.push(8),
            b'f' => text.push(12),
            b'n' => text.push(b'\n'),
            b'r' => text.push(b'\r'),
            b't' => text.push(b'\t'),
            b'u' => {
                let (mut unit, behind) = unit(rest)?;
                rest = behind;
                if let 0xd800..0xdc00 = unit {
                    let (low, behind) = self::unit(rest.strip_prefix(b"\\u")?)?;
                    rest = behind;
                    let low = low.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
                    unit = 0x10000 + ((unit - 0xd800) << 10) + low;
                }
                let mut bytes = [0; 4];
                text.extend_from_slice(char::from_u32(unit)?.encode_utf8(&mut bytes).as_bytes());
            }
            _ => return None,
        }
    }
    String::from_utf8(text).ok()
}

/// Reads four hexadecimal digits. Returns their value and the rest of the text.
fn unit(text: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, behind) = text.split_first_chunk::<4>()?;
    let digit = |unit: u32, digit: &u8| Some(unit << 4 | char::from(*digit).to_digit(16)?);
    Some((digits.iter().try_fold(0, digit)?, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_many_digits_is_judged_by_its_power_of_ten() {
        let digits = "1.0000000000018358492000000001";
        for (number, is_read) in [
            (format!("{digits}e300"), true),
            (format!("{digits}e307"), true),
            (format!("{digits}e308"), false),
            (format!("{digits}e99999999999999999999"), false),
            (format!("{digits}e-99999999999999999999"), true),
            (format!("-{digits}e-400"), true),
            (format!("{}.5", "9".repeat(308)), true),
            (format!("{}.5", "9".repeat(309)), false),
            (format!("{}1e310", "9".repeat(20)), false),
            (format!("0.{}{}e320", "0".repeat(20), "12".repeat(15)), true),
            (format!("0.{}{}e340", "0".repeat(20), "12".repeat(15)), false),
            ("0.00000000000000000000000000".into(), true),
            ("1.7976931348623157e308".into(), true),
            ("1.8e308".into(), false),
        ] {
            assert_eq!(is_finite(&number), is_read, "{number}");
            if is_read {
                assert!(number.parse().is_ok_and(f64::is_finite), "{number}");
            }
        }
    }
}
