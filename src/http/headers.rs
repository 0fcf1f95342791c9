//! Readers of header values that several modules share.

use http::{HeaderMap, HeaderName, header};

/// Whether the body has this media type. Parameters do not count.
pub(crate) fn has_media_type(headers: &HeaderMap, name: &str) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.and_then(|value| value.split([';', ',']).next()).map(str::trim);
    media_type.is_some_and(|media_type| media_type.eq_ignore_ascii_case(name))
}

/// Returns the value of a header that is `true` or `false`, and `None` for any other value. A
/// repeated header or a list counts only if all its values agree.
pub(crate) fn flag(headers: &HeaderMap, name: &HeaderName) -> Option<bool> {
    let lists = headers.get_all(name).iter();
    let mut words = lists.flat_map(|list| list.as_bytes().split(|byte| *byte == b',')).map(word);
    let first = words.next()??;
    words.all(|word| word == Some(first)).then_some(first)
}

fn word(bytes: &[u8]) -> Option<bool> {
    let is = |word: &str| bytes.trim_ascii().eq_ignore_ascii_case(word.as_bytes());
    if is("true") { Some(true) } else { is("false").then_some(false) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn all_values_of_a_flag_must_agree() {
        let flagged = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("x-flag", value.parse().unwrap());
            }
            flag(&headers, &HeaderName::from_static("x-flag"))
        };
        for values in [&["true"][..], &[" TRUE "], &["true, True"], &["true", "true"]] {
            assert_eq!(flagged(values), Some(true), "{values:?}");
        }
        assert_eq!(flagged(&["false,false", "False"]), Some(false));
        for values in [
            &[][..],
            &[""],
            &["1"],
            &["truefalse"],
            &["true", "false"],
            &["false, true"],
            &["true", "maybe"],
            &["true,"],
        ] {
            assert_eq!(flagged(values), None, "{values:?}");
        }
    }
}
