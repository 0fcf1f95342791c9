//! Hexadecimal digits.

/// Appends the digits of the bytes, in lower case. Without a table, so that the time says nothing
/// about them.
pub(crate) fn push<const N: usize>(bytes: &[u8; N], digits: &mut Vec<u8>) {
    let digit = |half: u8| if half < 10 { b'0' + half } else { b'a' - 10 + half };
    digits.reserve_exact(2 * N);
    digits.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
}

/// The digits as text.
pub(crate) fn text<const N: usize>(bytes: &[u8; N]) -> String {
    let mut digits = Vec::new();
    push(bytes, &mut digits);
    digits.into_iter().map(char::from).collect()
}

/// The bytes of so many digits, in lower or upper case. `None` for any other text.
pub(crate) fn read<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else { return None };
    let pairs: &[[u8; 2]; N] = pairs.try_into().ok()?;
    let half = |digit: u8| char::from(digit).to_digit(16).and_then(|half| u8::try_from(half).ok());
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = half(*high)? << 4 | half(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_read_as_they_are_written() {
        let mut digits = Vec::new();
        push(&[0x00, 0x9a, 0xff], &mut digits);
        assert_eq!(digits, b"009aff");
        assert_eq!(read("009AfF"), Some([0x00, 0x9a, 0xff]));
        for other in ["", "009af", "009aff00", "009afg", "+09aff", "009a\u{e9}"] {
            assert_eq!(read::<3>(other), None, "{other}");
        }
    }
}
