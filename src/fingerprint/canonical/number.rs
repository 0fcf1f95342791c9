//! Which numbers of a JSON text mean the same to a reader that takes them for doubles, as RFC 8785 does, and to one that
//! does not.

/// From here on a double does not hold every integer.
const EXACT: u64 = 1 << 53;
/// So many significant digits tell any double from its neighbours.
const DIGITS: usize = 17;

/// Whether the double that the literal stands for says what the literal says. A fraction may be as much beside it as 17
/// digits can tell, for that is how programs write their doubles.
pub(super) fn is_clear(literal: &[u8]) -> bool {
    let Ok(literal) = str::from_utf8(literal) else {
        return false;
    };
    if !literal.contains(['.', 'e', 'E']) {
        return literal.parse().is_ok_and(|integer: i64| integer.unsigned_abs() <= EXACT);
    }
    let Ok(double) = literal.parse::<f64>() else {
        return false;
    };
    if !double.is_finite() {
        return false;
    }
    let (Some(written), Some(shortest)) = (Decimal::of(literal), Decimal::of(&format!("{double:e}"))) else {
        return false;
    };
    #[expect(clippy::cast_precision_loss, reason = "2^53 is a double")]
    let is_fine = double.is_normal() && double.abs() < EXACT as f64;
    written == shortest || (is_fine && written.digits.len() <= DIGITS)
}

/// What a literal stands for, without its sign: digits without zeros at either end, and the power of ten of the last.
#[derive(PartialEq, Eq)]
struct Decimal {
    digits: String,
    exponent: i64,
}

impl Decimal {
    fn of(literal: &str) -> Option<Self> {
        let (mantissa, exponent) = literal.split_once(['e', 'E']).unwrap_or((literal, "0"));
        let exponent: i64 = exponent.parse().ok()?;
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = [whole.trim_start_matches('-'), fraction].concat();
        let kept = all.trim_end_matches('0');
        let digits = kept.trim_start_matches('0').to_owned();
        if digits.is_empty() {
            return Some(Self { digits, exponent: 0 });
        }
        let behind = i64::try_from(fraction.len()).ok()?;
        let zeros = i64::try_from(all.len() - kept.len()).ok()?;
        Some(Self { digits, exponent: exponent.checked_sub(behind)?.checked_add(zeros)? })
    }
}

#[cfg(test)]
mod tests;
