//! What a rejection says to people: the title, the page that explains it, and the detail.

use std::fmt;

use http::HeaderName;

use super::Rejection;
use crate::record::fingerprint::JsonPointer;

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
            Self::KeyMissing { headers, member } => write_places(f, headers, member.as_ref()),
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

/// Where a client may put the key.
fn write_places(
    f: &mut fmt::Formatter<'_>,
    headers: &[HeaderName],
    member: Option<&JsonPointer>,
) -> fmt::Result {
    let mut before = "the header ";
    for name in headers {
        write!(f, "{before}`{name}`")?;
        before = " or ";
    }
    match member {
        Some(member) if headers.is_empty() => write!(f, "the member `{member}` of a JSON body"),
        Some(member) => write!(f, ", or in the member `{member}` of a JSON body"),
        None if headers.is_empty() => f.write_str("a header, and the layer reads none"),
        None => Ok(()),
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
