//! The name of a schema or a table, checked before it can reach a statement.

use std::fmt;

/// The name of a schema or a table: 1 to 40 ASCII letters, digits and underscores, not a digit
/// first. Upper and lower case are two names, because it is always quoted.
///
/// ```
/// use tower_idempotency::store::Identifier;
///
/// assert!(Identifier::new("idempotency_records").is_ok());
/// assert!(Identifier::new("records; DROP TABLE payments").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identifier(String);

impl Identifier {
    /// The longest name, in bytes. Databases accept some twenty more, which the names of indexes
    /// need.
    pub const MAX_LEN: usize = 40;

    /// Checks a name.
    ///
    /// # Errors
    ///
    /// If it is empty, too long, starts with a digit, or has any other character in it.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidIdentifier> {
        let name = name.into();
        let is_valid = (1..=Self::MAX_LEN).contains(&name.len())
            && !name.starts_with(|first: char| first.is_ascii_digit())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if is_valid { Ok(Self(name)) } else { Err(InvalidIdentifier) }
    }

    /// A name that was checked when it was written.
    #[cfg(feature = "postgres")]
    pub(in crate::store) fn known(name: &'static str) -> Self {
        Self(name.into())
    }

    /// The name, without quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// As a statement contains it, in quotes.
impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

/// Not a name for a schema or a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidIdentifier;

impl fmt::Display for InvalidIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name is not 1 to 40 ASCII letters, digits and underscores, beginning with no digit")
    }
}

impl std::error::Error for InvalidIdentifier {}
