//! The error in a URL, without its password.
//!
//! A part is quoted only where it cannot be a password. In a URL whose password is not
//! percent-encoded, any part behind it may be a piece of it.

/// The schemes, in the order of their use.
const SCHEMES: &str = "`redis://`, `rediss://` (with TLS), `redis+unix://`, `redis+sentinel://`, \
                       `rediss+sentinel://`, `redis+cluster://` and `rediss+cluster://`, or the \
                       same with `valkey`";
pub(super) const ENCODE: &str =
    "in a user or a password, `/`, `?`, `#` and `@` are written %2F, %3F, %23 and %40";
const FORM: &str = "redis://[user:password@]host[:port][/db]";

/// How a URL of one server is wrong.
pub(super) fn of_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        let what = if url.is_empty() { "is empty" } else { "has no scheme" };
        return format!("the URL {what}: it is like `{FORM}`");
    };
    if !matches!(
        &*scheme.to_ascii_lowercase(),
        "redis" | "rediss" | "valkey" | "valkeys" | "unix" | "redis+unix" | "valkey+unix"
    ) {
        return of_scheme(scheme);
    }
    let (authority, behind) = parts(rest);
    let (has_credentials, server) = match authority.rsplit_once('@') {
        Some((_, server)) => (true, server),
        None => (false, authority),
    };
    let path = behind.split(['?', '#']).next().unwrap_or_default().trim_matches('/');
    of_server(server, has_credentials)
        .or_else(|| of_database(path))
        .unwrap_or_else(|| format!("the URL is not like `{FORM}`"))
}

/// Whether what is read as the host and the port is the start of the credentials, which contain a
/// character that ends them.
pub(super) fn is_cut_in_password(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let (authority, behind) = parts(rest);
    !scheme.contains("unix") && behind.contains('@') && !authority.contains('@')
}

/// The parts before and behind the first `/`, `?` or `#`.
fn parts(rest: &str) -> (&str, &str) {
    rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()))
}

/// How a scheme is wrong.
pub(super) fn of_scheme(scheme: &str) -> String {
    let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    if scheme.len() <= 24 && scheme.bytes().all(is_scheme) {
        format!("the scheme `{scheme}://` is not one of Redis, which are {SCHEMES}")
    } else {
        format!("the URL does not begin with a scheme of Redis, which are {SCHEMES}")
    }
}

/// How `host[:port]` is wrong. `None` if it is not.
pub(super) fn of_server(server: &str, has_credentials: bool) -> Option<String> {
    let (host, port) = match server.rsplit_once(':') {
        // The colons of an IPv6 address are in brackets.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (server, None),
    };
    if host.contains(':') && !host.starts_with('[') {
        return Some(
            "an IPv6 address has brackets around it, as in `redis://[::1]:6379`".to_owned(),
        );
    }
    if let Some(port) = port
        && !matches!(port.parse::<u16>(), Ok(1..))
    {
        // Without credentials before it, it may be a password that is in the wrong place.
        let is_port = has_credentials
            || (port.len() <= 6 && port.starts_with(|first: char| first.is_ascii_digit()));
        let quoted = if is_port { format!(" `{}`", short(port)) } else { String::new() };
        return Some(format!("the port{quoted} is not a number from 1 to 65535"));
    }
    if host.is_empty() {
        return Some(format!(
            "there is no host: the form is HOST:PORT, and the URL is like `{FORM}`"
        ));
    }
    matches!(host, "0.0.0.0" | "[::]")
        .then(|| format!("{host} is not an address to connect to: use that of the server"))
}

/// How the number of a database is wrong. `None` if it is not.
pub(super) fn of_database(path: &str) -> Option<String> {
    let is_number = path.is_empty() || path.parse::<i64>().is_ok_and(|number| number >= 0);
    (!is_number).then(|| format!("the database `{}` is not a number: it is like `/0`", short(path)))
}

/// Enough of a part to find it.
fn short(part: &str) -> String {
    part.chars().take(16).filter(|c| !c.is_control()).collect()
}
