//! The caller whom a JSON Web Token names.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{AlgorithmFamily, Header, TokenData, Validation};
use serde_json::{Map, Value};
use tower_idempotency::Scope;

use super::keys::{KeySet, Keys, Sources};
use super::{Lack, framed, only, signatures};
use crate::file::{Header as Written, Jwt, OneOrMore};

/// How much the clocks of an issuer and of the gateway may differ, in seconds.
const LEEWAY: u64 = 60;

const WITHOUT_KEYS: &str = "`jwt_claim` needs the keys that tokens are verified by: write jwks = \"https://…\" or the path \
     of a file, in [jwt] or in the scope; write `unverified_jwt_claim` instead if a proxy in front \
     of the gateway verifies all tokens";

type Claims = Map<String, Value>;

/// How the claim of a token is found.
pub(crate) struct Token {
    header: HeaderName,
    claim: String,
    /// Absent: nothing of a token is verified.
    rules: Option<Rules>,
}

/// What makes a token valid.
struct Rules {
    keys: Keys,
    validation: Validation,
    has_issuers: bool,
}

impl Token {
    /// `None`: the header does not contain a token.
    ///
    /// # Errors
    ///
    /// A text that says what to correct.
    pub(super) fn new(
        header: &HeaderName,
        written: &Written,
        common: &Jwt,
        sources: &mut Sources<'_>,
    ) -> Result<Option<Self>, String> {
        let own = Jwt {
            jwks: written.jwks.clone(),
            issuer: written.issuer.clone(),
            audience: written.audience.clone(),
        };
        let has_own = own != Jwt::default();
        let (claim, rules) = match (&written.jwt_claim, &written.unverified_jwt_claim) {
            (Some(_), Some(_)) => {
                return Err(
                    "a scope has `jwt_claim` or `unverified_jwt_claim`, not both".to_owned()
                );
            }
            (None, None) if !has_own => return Ok(None),
            (None, None) => {
                return Err("`jwks`, `issuer` and `audience` say how a token is verified: add \
                            jwt_claim = \"sub\""
                    .to_owned());
            }
            (None, Some(_)) if has_own => {
                return Err("`unverified_jwt_claim` verifies nothing: leave `jwks`, `issuer` and \
                            `audience` out, or write `jwt_claim`"
                    .to_owned());
            }
            (None, Some(claim)) => {
                tracing::warn!(
                    %header, claim,
                    "tokens are not verified: a client can name any caller and get the responses \
                     of that caller; write jwt_claim and jwks unless a proxy verifies all tokens"
                );
                (claim, None)
            }
            (Some(claim), None) => {
                let jwks = own.jwks.as_ref().or(common.jwks.as_ref()).ok_or(WITHOUT_KEYS)?;
                (claim, Some(Rules::new(sources.keys(jwks)?, own, common)))
            }
        };
        if claim.is_empty() {
            return Err("the name of the claim is empty".to_owned());
        }
        Ok(Some(Self { header: header.clone(), claim: claim.clone(), rules }))
    }

    pub(super) async fn caller(&self, headers: &HeaderMap) -> Result<Scope, Lack> {
        let token = match only(headers, &self.header) {
            Some(value) if self.header == AUTHORIZATION => bearer(value),
            Some(value) => Some(value),
            // Two values could be two callers.
            None if headers.contains_key(&self.header) => return Err(Lack::Invalid),
            None => None,
        };
        let token = token.ok_or(Lack::Unnamed)?;
        let claims = match &self.rules {
            Some(rules) => rules.verify(token).await?,
            None => jsonwebtoken::dangerous::insecure_decode_claims(token)
                .map_err(|error| invalid(&error))?,
        };
        let issuer = self.rules.as_ref().filter(|rules| rules.has_issuers).map(|_| "iss");
        scope(&claims, issuer, &self.claim).ok_or_else(|| {
            tracing::debug!(claim = self.claim, "a token is rejected: it lacks the claim");
            Lack::Invalid
        })
    }
}

impl Rules {
    fn new(keys: Keys, own: Jwt, common: &Jwt) -> Self {
        signatures::install();
        let mut validation =
            Validation { leeway: LEEWAY, validate_nbf: true, ..Validation::default() };
        let issuers = own.issuer.or_else(|| common.issuer.clone());
        let has_issuers = issuers.as_ref().is_some_and(|OneOrMore(issuers)| issuers.len() > 1);
        if let Some(OneOrMore(issuers)) = issuers {
            validation.set_issuer(&issuers);
            validation.required_spec_claims.insert("iss".to_owned());
        }
        match own.audience.or_else(|| common.audience.clone()) {
            Some(OneOrMore(audiences)) => {
                validation.set_audience(&audiences);
                validation.required_spec_claims.insert("aud".to_owned());
            }
            None => validation.validate_aud = false,
        }
        Self { keys, validation, has_issuers }
    }

    async fn verify(&self, token: &[u8]) -> Result<Claims, Lack> {
        let header = jsonwebtoken::decode_header(token).map_err(|error| invalid(&error))?;
        if header.alg.family() == AlgorithmFamily::Hmac {
            return Err(invalid(&ErrorKind::InvalidAlgorithm.into()));
        }
        if let Some(result) = self.keys.known().and_then(|set| self.by(&set, token, &header)) {
            return result.map_err(|error| invalid(&error));
        }
        self.keys.refresh().await;
        match self.keys.known().and_then(|set| self.by(&set, token, &header)) {
            Some(result) => result.map_err(|error| invalid(&error)),
            None if self.keys.are_out_of_date() => Err(Lack::Undecided),
            None => Err(invalid(&ErrorKind::InvalidSignature.into())),
        }
    }

    /// Verifies a token by the keys that its header allows. `None`: it may be signed by another key.
    fn by(&self, set: &KeySet, token: &[u8], header: &Header) -> Option<Result<Claims, Error>> {
        let mut validation = self.validation.clone();
        validation.algorithms = vec![header.alg];
        let mut wrong = None;
        for key in set.fitting(header) {
            match jsonwebtoken::decode(token, key, &validation) {
                Ok(TokenData { claims, .. }) => return Some(Ok(claims)),
                Err(error) if *error.kind() == ErrorKind::InvalidSignature => wrong = Some(error),
                Err(error) => return Some(Err(error)),
            }
        }
        // Without the name of a key, a new one may have signed it.
        header.kid.as_ref().and(wrong).map(Err)
    }
}

/// The token in a header `Authorization` (RFC 6750, 2.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

fn scope(claims: &Claims, issuer: Option<&str>, claim: &str) -> Option<Scope> {
    let claim = text(claims.get(claim)?)?;
    let Some(issuer) = issuer else { return Some(Scope::new(claim)) };
    let issuer = claims.get(issuer)?.as_str()?;
    Some(Scope::new(framed(&[issuer.as_bytes(), claim.as_bytes()])))
}

/// A claim that names a caller: a text or an integer.
fn text(claim: &Value) -> Option<String> {
    match claim {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

/// Says why a token is not valid, without a part of it.
fn invalid(error: &Error) -> Lack {
    let why = match error.kind() {
        ErrorKind::Json(_) | ErrorKind::Base64(_) | ErrorKind::Utf8(_) => "malformed".to_owned(),
        _ => error.to_string(),
    };
    tracing::debug!(why, "a token is rejected");
    Lack::Invalid
}

#[cfg(test)]
mod tests;
