//! Reads a JSON text beside the value that was parsed from it, for what the value does not tell any more.

use serde_json::Value;

/// Whether a value of the text would take too much memory: one object of eight bytes takes some six hundred as a value, so
/// that a body of 1 MiB could take a hundred. Every brace counts, also in strings, so that it is known before anything is read.
pub(crate) fn has_too_many_objects(text: &[u8]) -> bool {
    text.iter().filter(|byte| **byte == b'{').nth(MOST_OBJECTS).is_some()
}

/// The most objects that a text is read with.
pub(super) const MOST_OBJECTS: usize = 20_000;

/// Whether the text says something that its value does not: a name twice in an object, of which the value has the last
/// only, or a name that the parser keeps for itself. `text` must be the valid JSON from which `value` was parsed.
pub(crate) fn has_repeated_members(text: &[u8], value: &Value) -> bool {
    let mut in_text = Tally::default();
    for token in Tokens(text) {
        match token {
            Token::Colon => in_text.members += 1,
            Token::String(string) => in_text.characters += decoded_len(string),
            Token::Number(_) => {}
        }
    }
    let mut in_value = Tally::default();
    in_value.count(value);
    in_text != in_value
}

/// How much there is of what a parser may drop. Dropping a member makes `members` smaller. Taking an object for something
/// else, as `serde_json` does with names of its own when another crate asks for `raw_value` or `arbitrary_precision`,
/// can make up for that, but then makes `characters` smaller, and nothing makes those more.
#[derive(Default, PartialEq, Eq)]
struct Tally {
    members: usize,
    /// The bytes of all names and strings, decoded.
    characters: usize,
}

impl Tally {
    fn count(&mut self, value: &Value) {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
            Value::String(string) => self.characters += string.len(),
            Value::Array(elements) => elements.iter().for_each(|element| self.count(element)),
            Value::Object(members) => {
                for (name, member) in members {
                    self.members += 1;
                    self.characters += name.len();
                    self.count(member);
                }
            }
        }
    }
}

/// What is of interest in a text.
pub(super) enum Token<'t> {
    /// What stands between the quotes.
    String(&'t [u8]),
    Number(&'t [u8]),
    Colon,
}

/// The tokens of a text that is valid JSON.
pub(super) struct Tokens<'t>(pub(super) &'t [u8]);

impl<'t> Iterator for Tokens<'t> {
    type Item = Token<'t>;

    fn next(&mut self) -> Option<Token<'t>> {
        while let [first, rest @ ..] = self.0 {
            match first {
                b'"' => {
                    let (string, after) = rest.split_at(string_end(rest));
                    self.0 = after.get(1..).unwrap_or_default();
                    return Some(Token::String(string));
                }
                b'-' | b'0'..=b'9' => {
                    let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
                    let end = self.0.iter().position(|byte| !is_part(byte)).unwrap_or(self.0.len());
                    let (number, after) = self.0.split_at(end);
                    self.0 = after;
                    return Some(Token::Number(number));
                }
                b':' => {
                    self.0 = rest;
                    return Some(Token::Colon);
                }
                _ => self.0 = rest,
            }
        }
        None
    }
}

/// Where the string ends whose opening quote stands before `text`.
fn string_end(text: &[u8]) -> usize {
    let mut escaped = false;
    let closes = |byte: &u8| {
        let is_end = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        is_end
    };
    text.iter().position(closes).unwrap_or(text.len())
}

/// How many bytes of UTF-8 a string has once its escapes are taken away.
fn decoded_len(mut string: &[u8]) -> usize {
    let mut length = 0;
    loop {
        match string {
            [] => return length,
            [b'\\', b'u', a, b, c, d, rest @ ..] => {
                let code = [a, b, c, d].iter().fold(0, |code, digit| code << 4 | hex(**digit));
                length += match code {
                    ..0x80 => 1,
                    // Half of a pair of surrogates is half of four bytes.
                    0x80..0x800 | 0xd800..0xe000 => 2,
                    _ => 3,
                };
                string = rest;
            }
            [b'\\', _, rest @ ..] | [_, rest @ ..] => {
                length += 1;
                string = rest;
            }
        }
    }
}

fn hex(digit: u8) -> u32 {
    char::from(digit).to_digit(16).unwrap_or_default()
}

#[cfg(test)]
mod tests;
