//! One `[[route]]`.

use http::HeaderName;
use serde::Deserialize;
use tower_idempotency::Settings;

use super::fields::Fields;
use super::{At, OneOrMore, Position, Problem, Secret, Upstream, forms};

/// One route that is guarded.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) position: Position,
    pub(crate) paths: At<OneOrMore<String>>,
    pub(crate) host: Option<At<String>>,
    /// The methods of this route, which are guarded. Absent: POST and PATCH.
    pub(crate) methods: Option<At<Vec<String>>>,
    pub(crate) scope: At<Scope>,
    pub(crate) profile: Profile,
    pub(crate) canonical_json: bool,
    pub(crate) ignore: Vec<At<String>>,
    /// Absent: as the defaults say, and else `true`.
    pub(crate) label_records: Option<bool>,
    pub(crate) upstream: Option<At<Upstream>>,
    pub(crate) store: Option<At<Secret>>,
    /// How often the gateway sends a guarded request again.
    pub(crate) retries: u32,
    pub(crate) settings: Settings,
}

/// Whose key it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    expecting = "a scope is `{ header = \"…\" }`, with `jwt_claim = \"…\"` if it is a \
    token, `{ client_certificate = true }`, or \"everyone\""
)]
pub(crate) enum Scope {
    Everyone(Everyone),
    Certificate(Certificate),
    Header(Header),
}

/// All callers share one scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Everyone {
    Everyone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Certificate {
    pub(crate) client_certificate: True,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "bool")]
pub(crate) struct True;

impl TryFrom<bool> for True {
    type Error = &'static str;

    fn try_from(value: bool) -> Result<Self, Self::Error> {
        if value { Ok(Self) } else { Err("it can only be true") }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(clippy::struct_field_names, reason = "the fields are named as in the file")]
pub(crate) struct Header {
    #[serde(deserialize_with = "forms::header")]
    pub(crate) header: Option<HeaderName>,
    pub(crate) jwt_claim: Option<String>,
    /// The claim of a token whose signature the gateway does not verify.
    pub(crate) unverified_jwt_claim: Option<String>,
    pub(crate) jwks: Option<String>,
    pub(crate) issuer: Option<OneOrMore<String>>,
    pub(crate) audience: Option<OneOrMore<String>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Profile {
    #[default]
    Default,
    Ietf,
    Stripe,
}

impl Route {
    pub(super) fn parse(mut fields: Fields<'_>) -> Result<Self, Problem> {
        let position = fields.position;
        Ok(Self {
            position,
            paths: fields.required("path", "path = \"/payments/{*rest}\"")?,
            host: fields.optional("host")?,
            methods: fields.optional("methods")?,
            scope: fields.required(
                "scope",
                "scope = { header = \"authorization\" }; scope = \"everyone\" if all callers share \
                 their keys",
            )?,
            profile: fields.or_default("profile")?,
            canonical_json: fields.or_default("canonical_json")?,
            ignore: fields.each("ignore")?,
            label_records: fields.optional("label_records")?.map(|on| on.value),
            upstream: fields.optional("upstream")?,
            store: fields.optional("store")?,
            retries: fields.or_default("retries")?,
            settings: fields.rest()?,
        })
    }
}
