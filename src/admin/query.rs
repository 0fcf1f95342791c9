//! The query of a list.

use std::borrow::Cow;
use std::time::Duration;

use super::problem::Problem;
use crate::record::key::ScopeDigest;
use crate::store::operator::{Cursor, ListFilter, ListOrder, ListRequest, StateFilter};

/// The longest cursor, in bytes.
const CURSOR: usize = 1024;

/// Reads the parameters of a list. Each may be there once, and there are no others.
pub(super) fn list(query: &str) -> Result<ListRequest, Problem> {
    let mut request = ListRequest::new(ListFilter::new());
    let mut seen: Vec<Cow<'_, str>> = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if seen.contains(&name) {
            return Err(invalid(&name, "may be there once"));
        }
        request = set(request, &name, &value)?;
        seen.push(name);
    }
    Ok(request)
}

/// Reads the only parameter of statistics.
pub(super) fn after(query: &str) -> Result<Option<Cursor>, Problem> {
    let request = list(query)?;
    let others = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name != "after");
    match others {
        Some((name, _)) => Err(invalid(&name, "is not a parameter of this route")),
        None => Ok(request.after),
    }
}

fn set(request: ListRequest, name: &str, value: &str) -> Result<ListRequest, Problem> {
    let filter = request.filter.clone();
    let filter = match name {
        "state" => {
            let state: StateFilter =
                value.parse().map_err(|error| Problem::Invalid(format!("`state`: {error}")))?;
            filter.state(state)
        }
        "older_than_seconds" => {
            let age = value.parse().ok().and_then(|age| Duration::try_from_secs_f64(age).ok());
            filter.older_than(age.ok_or_else(|| invalid(name, "is a number of seconds"))?)
        }
        "route" => filter.route(value.to_owned()),
        "namespace" => filter.namespace(value.to_owned()),
        "scope" => {
            let scope = ScopeDigest::from_hex(value);
            filter.scope(scope.ok_or_else(|| invalid(name, "has 32 hexadecimal digits"))?)
        }
        "digits" if !is_digits(value) => {
            return Err(invalid(name, "has 1 to 64 hexadecimal digits"));
        }
        "digits" => filter.digits(value.to_owned()),
        "limit" => {
            let limit =
                value.parse().ok().filter(|limit| (1..=ListRequest::MAX_LIMIT).contains(limit));
            return Ok(request.limit(limit.ok_or_else(|| invalid(name, "is 1 to 1000"))?));
        }
        "order" => {
            return Ok(request.order(match value {
                "oldest" => ListOrder::OldestFirst,
                "newest" => ListOrder::NewestFirst,
                _ => return Err(invalid(name, "is `oldest` or `newest`")),
            }));
        }
        "after" if value.len() > CURSOR => return Err(invalid(name, "is a `next` of this route")),
        "after" => return Ok(request.after(Cursor::new(value))),
        _ => return Err(invalid(name, "is not a parameter of this route")),
    };
    Ok(ListRequest { filter, ..request })
}

/// Whether these are the first digits of a key, or all of them.
pub(super) fn is_digits(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn invalid(name: &str, rule: &str) -> Problem {
    Problem::Invalid(format!("`{name}` {rule}"))
}
