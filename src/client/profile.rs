//! [`Profile`]: how a server accepts keys, and which responses it stores.

use http::{HeaderName, Method};

use crate::settings::KEY_HEADERS;

/// The kind of a server, as far as a client must know it.
///
/// | profile | header | value | methods that get a key | responses that are not stored |
/// |---|---|---|---|---|
/// | `Default` | `X-Idempotency-Key` | bare | POST, PATCH | those in which nothing happened |
/// | `Ietf` | `Idempotency-Key` | RFC 9651 String, in quotes | POST, PATCH | none |
/// | `Stripe` | `Idempotency-Key` | bare | POST | 400, 401, 429 |
///
/// `Ietf` is for servers that follow draft-ietf-httpapi-idempotency-key-header, and `Stripe` is for
/// Stripe and for servers that copy it. In every profile the client reads all markers of replays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Profile {
    /// A server of this crate with its default settings.
    #[default]
    Default,
    /// A server that follows the IETF draft, such as one of this crate with `ietf()`.
    Ietf,
    /// Stripe, or a server that copies it, such as one of this crate with `stripe()`.
    Stripe,
}

impl Profile {
    const ALL: [Self; 3] = [Self::Default, Self::Ietf, Self::Stripe];

    pub(crate) fn header(self) -> HeaderName {
        let [default, standard] = KEY_HEADERS;
        if self == Self::Default { default } else { standard }
    }

    pub(crate) fn is_quoted(self) -> bool {
        self == Self::Ietf
    }

    pub(crate) fn methods(self) -> Vec<Method> {
        match self {
            // Stripe ignores keys on other methods.
            Self::Stripe => vec![Method::POST],
            Self::Default | Self::Ietf => vec![Method::POST, Method::PATCH],
        }
    }

    /// Whether the corrected request can use the same key, because the server stores nothing.
    pub(crate) fn discards(self, status: u16) -> bool {
        match self {
            Self::Default => nothing_happened(status),
            Self::Ietf => false,
            Self::Stripe => matches!(status, 400 | 401 | 429),
        }
    }
}

/// Whether the status alone says that the request had no effect.
pub(crate) fn nothing_happened(status: u16) -> bool {
    matches!(
        status,
        307 | 308 | 400 | 401 | 403 | 405..=407 | 411..=415 | 417 | 421..=426 | 428 | 429 | 431 | 511
    )
}

/// How a key was sent. An error names it if the server did not understand the key.
#[derive(Debug, Clone)]
pub(crate) struct KeyForm {
    pub(crate) header: HeaderName,
    pub(crate) is_quoted: bool,
}

impl KeyForm {
    /// The profiles that would send the key in another form.
    pub(crate) fn others(&self) -> impl Iterator<Item = Profile> {
        let is_other = |profile: &Profile| {
            profile.header() != self.header || profile.is_quoted() != self.is_quoted
        };
        Profile::ALL.into_iter().filter(is_other)
    }
}
