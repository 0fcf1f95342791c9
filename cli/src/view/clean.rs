//! Text from a store, without what could change a terminal.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The text with each control character as `\u{1b}`.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    escaped(text, |escaped, char| write!(escaped, "\\u{{{:x}}}", u32::from(char)))
}

/// JSON with each control character as `\u009b`. `serde_json` escapes those below 32 only.
pub(crate) fn clean_json(json: &str) -> Cow<'_, str> {
    escaped(json, |escaped, char| write!(escaped, "\\u{:04x}", u32::from(char)))
}

fn escaped(text: &str, escape: impl Fn(&mut String, char) -> std::fmt::Result) -> Cow<'_, str> {
    if !text.contains(is_dangerous) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for char in text.chars() {
        if is_dangerous(char) {
            // Writing into a string does not fail.
            let _ = escape(&mut escaped, char);
        } else {
            escaped.push(char);
        }
    }
    Cow::Owned(escaped)
}

/// Control characters move the cursor. Marks of direction show text in another order than it has.
fn is_dangerous(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}'..='\u{200f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_as_their_numbers() {
        assert_eq!(clean("POST /päyments"), "POST /päyments");
        assert_eq!(clean("a\u{1b}[2J\nb\u{9b}c\u{202e}d"), "a\\u{1b}[2J\\u{a}b\\u{9b}c\\u{202e}d");
    }

    #[test]
    fn json_stays_the_same_document() {
        let text = "a\u{1b}[2J\u{7f}\u{9b}\u{202e}";
        let json = serde_json::to_string(text).unwrap_or_default();
        let clean = clean_json(&json);
        assert!(!clean.contains(is_dangerous), "{clean}");
        assert_eq!(serde_json::from_str::<String>(&clean).ok().as_deref(), Some(text));
    }
}
