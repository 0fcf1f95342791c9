//! The caller whose key it is.

use http::HeaderName;
use http::header::{HeaderValue, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use tower_idempotency::Scope;

use crate::file::{Everyone, File, Scope as Written};

mod certificate;
mod keys;
mod signatures;
mod token;

pub(crate) use certificate::caller;
pub(crate) use keys::{KeyServers, Sources};

use token::Token;

/// How the caller of a route is known.
pub(crate) enum Identity {
    /// All callers are one.
    Everyone,
    /// Clients that send the same value are one caller.
    Header(HeaderName),
    /// The certificate of the connection.
    Certificate,
    /// A claim of a JSON Web Token.
    Token(Box<Token>),
}

/// Why a request has no caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lack {
    /// The request does not name one.
    Unnamed,
    /// The token is not valid.
    Invalid,
    /// The keys for the token cannot be fetched, so nothing is known of it.
    Undecided,
}

/// The caller of a request, in its extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller(Result<Scope, Lack>);

impl Caller {
    pub(crate) fn scope(&self) -> Option<Scope> {
        self.0.clone().ok()
    }

    pub(crate) fn lack(&self) -> Option<Lack> {
        self.0.as_ref().err().copied()
    }
}

impl Identity {
    /// # Errors
    ///
    /// A text that says what to correct.
    pub(crate) fn new(
        written: &Written,
        file: &File,
        sources: &mut Sources<'_>,
    ) -> Result<Self, String> {
        match written {
            Written::Everyone(Everyone::Everyone) => Ok(Self::Everyone),
            Written::Certificate(_) => {
                let tls = file.tls.as_ref().map(|tls| &tls.value);
                if tls.is_none_or(|tls| tls.client_ca.is_none()) {
                    return Err("`client_certificate` needs the certificates that clients' ones \
                                are checked against: write client_ca = \"clients.pem\" in [tls]"
                        .to_owned());
                }
                Ok(Self::Certificate)
            }
            Written::Header(written) => {
                let name = written.header.clone().ok_or("`header` has no name")?;
                let token = Token::new(&name, written, &file.jwt, sources)?;
                Ok(token.map_or(Self::Header(name), |token| Self::Token(Box::new(token))))
            }
        }
    }

    /// The caller of a request. A request without one is rejected by the layer.
    pub(crate) async fn caller(&self, head: &Parts, certificate: Option<&Scope>) -> Caller {
        Caller(match self {
            Self::Everyone => Ok(Scope::anonymous()),
            Self::Header(name) => only(&head.headers, name).map(Scope::new).ok_or(Lack::Unnamed),
            Self::Certificate => certificate.cloned().ok_or(Lack::Unnamed),
            Self::Token(token) => token.caller(&head.headers).await,
        })
    }

    /// Tells a client that the layer has rejected what a token would have to say (RFC 6750, 3).
    pub(crate) fn challenge(&self, lack: Lack, status: StatusCode, headers: &mut HeaderMap) {
        if matches!(self, Self::Token(_)) && status == StatusCode::UNAUTHORIZED {
            let challenge = match lack {
                Lack::Invalid => "Bearer error=\"invalid_token\"",
                Lack::Unnamed | Lack::Undecided => "Bearer",
            };
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
    }
}

/// The value of a header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) if !value.is_empty() => Some(value.as_bytes()),
        _ => None,
    }
}

/// Fields as one text, each after its length. Different fields give different texts.
fn framed(fields: &[&[u8]]) -> Vec<u8> {
    let mut text = Vec::new();
    for field in fields {
        text.extend_from_slice(&(field.len() as u64).to_be_bytes());
        text.extend_from_slice(field);
    }
    text
}
