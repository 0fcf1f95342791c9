//! The operator who has sent a request.

use std::collections::HashMap;
use std::path::Path;

use axum::http::header::{AUTHORIZATION, HeaderName};
use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::file::{At, Operators, Problem};

/// How an operator is known.
pub(crate) enum Who {
    /// The digests of the passwords, by name.
    Passwords(HashMap<String, blake3::Hash>),
    /// A proxy in front has verified the operator.
    NamedIn(HeaderName),
    /// There are no operators: each of their routes gets 403.
    Nobody,
}

impl Who {
    /// # Errors
    ///
    /// If the settings of operators contradict each other, or the passwords cannot be read.
    pub(crate) fn new(operators: &At<Operators>, folder: &Path) -> Result<Self, Problem> {
        match (&operators.value.passwords, &operators.value.name_header) {
            (Some(_), Some(_)) => Err(operators.problem(
                "operators are known either by `passwords` or by `name_header`, and not by both",
            )),
            (None, None) => Ok(Self::Nobody),
            (None, Some(name)) => Ok(Self::NamedIn(name.clone())),
            (Some(secret), None) => {
                let text = secret.read(folder).map_err(|why| operators.problem(why))?;
                passwords(&text).map(Self::Passwords).map_err(|why| operators.problem(why))
            }
        }
    }

    /// The name of the operator, if the request has one.
    pub(crate) fn is_asking(&self, head: &Parts) -> Option<String> {
        match self {
            Self::Nobody => None,
            Self::NamedIn(name) => {
                let mut values = head.headers.get_all(name).iter();
                let (value, None) = (values.next()?, values.next()) else { return None };
                value.to_str().ok().map(str::to_owned)
            }
            Self::Passwords(known) => {
                let credentials = head.headers.get(AUTHORIZATION)?.to_str().ok()?;
                let (scheme, credentials) = credentials.split_once(' ')?;
                let pair = STANDARD.decode(credentials.trim()).ok()?;
                let pair = String::from_utf8(pair).ok()?;
                let (name, password) = pair.split_once(':')?;
                // Digests are compared in constant time.
                let is_right = known.get(name)? == &blake3::hash(password.as_bytes());
                (scheme.eq_ignore_ascii_case("basic") && is_right).then(|| name.to_owned())
            }
        }
    }
}

fn passwords(text: &str) -> Result<HashMap<String, blake3::Hash>, String> {
    let mut known = HashMap::new();
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    for line in lines {
        let (name, password) =
            line.split_once(':').ok_or("a line of `passwords` is not name:password")?;
        if password.len() < 8 {
            return Err(format!("the password of `{name}` has less than 8 characters"));
        }
        if known.insert(name.to_owned(), blake3::hash(password.as_bytes())).is_some() {
            return Err(format!("`passwords` has `{name}` twice"));
        }
    }
    if known.is_empty() {
        return Err("`passwords` has no line of name:password".to_owned());
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use axum::http::Request;

    use super::*;

    fn asks(who: &Who, pair: &str) -> Option<String> {
        let value = format!("Basic {}", STANDARD.encode(pair));
        let request = Request::get("/").header(AUTHORIZATION, value).body(()).unwrap();
        who.is_asking(&request.into_parts().0)
    }

    #[test]
    fn an_operator_has_a_name_and_a_password() {
        let who =
            Who::Passwords(passwords("# on call\nana: a long one\nben:another:one\n").unwrap());
        assert_eq!(asks(&who, "ana: a long one").as_deref(), Some("ana"));
        assert_eq!(asks(&who, "ben:another:one").as_deref(), Some("ben"));
        for pair in ["ana:another:one", "ana:", "eve: a long one", "ana", ""] {
            assert_eq!(asks(&who, pair), None, "{pair}");
        }
        let without = Request::get("/").body(()).unwrap().into_parts().0;
        assert_eq!(who.is_asking(&without), None);
    }

    #[test]
    fn passwords_are_checked_when_they_are_read() {
        for wrong in ["", "# nobody", "ana", "ana:short", "ana:a long one\nana:another one"] {
            assert!(passwords(wrong).is_err(), "{wrong}");
        }
    }
}
