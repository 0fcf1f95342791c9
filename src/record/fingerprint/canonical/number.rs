//! The numbers of a JSON text that have the same meaning for all readers.
//!
//! Some readers convert numbers to doubles, as RFC 8785 does. Others do not.

use std::io::Write;

/// Above this value, doubles do not represent every integer.
const EXACT: u64 = 1 << 53;
/// This many significant digits distinguish any double from its neighbours.
const DIGITS: usize = 17;

/// Returns the double of a clear literal.
pub(super) fn double(literal: &str) -> Option<f64> {
    let double = Decimal::of(literal)?.double()?;
    Some(if literal.starts_with('-') { -double } else { double })
}

/// Whether the double of the literal represents its value. A fraction may differ within 17 digits,
/// because programs write their doubles with up to 17 digits.
pub(super) fn is_clear(literal: &str) -> bool {
    if !literal.contains(['.', 'e', 'E']) {
        return literal.parse().is_ok_and(|integer: i64| integer.unsigned_abs() <= EXACT);
    }
    let Some(written) = Decimal::of(literal) else {
        return false;
    };
    let Some(double) = written.double() else {
        return false;
    };
    #[expect(clippy::cast_precision_loss, reason = "2^53 is a double")]
    let is_fine = double.is_normal() && double.abs() < EXACT as f64;
    if is_fine {
        return true;
    }
    let mut shortest = ryu_js::Buffer::new();
    double.is_finite() && Decimal::of(shortest.format_finite(double)) == Some(written)
}

/// The value of a literal without its sign: the digits without zeros at either end, and the power
/// of ten of the last digit.
struct Decimal<'l> {
    whole: &'l str,
    fraction: &'l str,
    exponent: i64,
}

impl<'l> Decimal<'l> {
    fn of(literal: &'l str) -> Option<Self> {
        let (mantissa, exponent) = literal.split_once(['e', 'E']).unwrap_or((literal, "0"));
        let exponent: i64 = exponent.parse().ok()?;
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut whole = whole.trim_start_matches('-').trim_start_matches('0');
        let mut fraction = fraction.trim_end_matches('0');
        let behind = i64::try_from(fraction.len()).ok()?;
        if whole.is_empty() {
            fraction = fraction.trim_start_matches('0');
        }
        let mut zeros = 0;
        if fraction.is_empty() {
            let all = whole.len();
            whole = whole.trim_end_matches('0');
            zeros = i64::try_from(all - whole.len()).ok()?;
        }
        if whole.is_empty() && fraction.is_empty() {
            return Some(Self { whole, fraction, exponent: 0 });
        }
        Some(Self { whole, fraction, exponent: exponent.checked_sub(behind)?.checked_add(zeros)? })
    }

    /// Returns the double without its sign. Returns `None` if there are too many digits for an
    /// exact one.
    ///
    /// Trailing zeros of a literal are not parsed, because parsing is slow near the middle of two
    /// doubles.
    fn double(&self) -> Option<f64> {
        let mut text = [0; DIGITS + 24];
        let length = self.length();
        if length > DIGITS {
            return None;
        }
        if length == 0 {
            return Some(0.0);
        }
        for (place, digit) in text.iter_mut().zip(self.digits()) {
            *place = digit;
        }
        let mut rest = &mut text[length..];
        write!(rest, "e{}", self.exponent).ok()?;
        let left = rest.len();
        str::from_utf8(&text[..DIGITS + 24 - left]).ok()?.parse().ok()
    }

    fn length(&self) -> usize {
        self.whole.len() + self.fraction.len()
    }

    fn digits(&self) -> impl Iterator<Item = u8> {
        self.whole.bytes().chain(self.fraction.bytes())
    }
}

impl PartialEq for Decimal<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.exponent == other.exponent && self.digits().eq(other.digits())
    }
}

#[cfg(test)]
mod tests;
