//! What a rejection says to people: the title, the page that explains it, and the detail.

use std::fmt;

use super::Rejection;

impl Rejection {
    /// The `title` member: what kind of problem it is.
    pub fn title(&self) -> &'static str {
        self.spec().title
    }

    /// The `type` member: a page that explains the problem.
    pub fn type_uri(&self) -> String {
        let variant = self.spec().variant;
        format!(
            "https://docs.rs/tower-idempotency/latest/tower_idempotency/enum.Rejection.html#variant.{variant}"
        )
    }

    /// Writes the value that the detail contains.
    fn write_value(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyInvalid(error) => write!(f, "{error}"),
            Self::RequestTooLarge { limit: Some(limit) } => write!(f, "{limit} bytes"),
            Self::RequestTooLarge { limit: None } => f.write_str("the limit"),
            Self::ResultNotRetained { original_status, .. } => {
                write!(f, "{}", original_status.as_u16())
            }
            _ => Ok(()),
        }
    }
}

/// The `detail` member: what happened, and what the client can do.
impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let detail = self.spec().detail;
        let Some((before, after)) = detail.split_once("{}") else {
            return f.write_str(detail);
        };
        f.write_str(before)?;
        self.write_value(f)?;
        f.write_str(after)
    }
}

impl std::error::Error for Rejection {}
