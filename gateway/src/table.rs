//! Which route a request belongs to.

use http::Method;
use http::request::Parts;

mod path;

use path::Pattern;

/// The routes of a gateway in the order of the file, and something for each.
pub(crate) struct Table<T>(Vec<Entry<T>>);

struct Entry<T> {
    host: Option<String>,
    patterns: Vec<Pattern>,
    methods: Vec<Method>,
    route: T,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Table<T> {
    /// Adds a route after those that are there.
    ///
    /// # Errors
    ///
    /// A text that says what to correct.
    pub(crate) fn add(
        &mut self,
        host: Option<&str>,
        paths: &[String],
        methods: Vec<Method>,
        route: T,
    ) -> Result<(), String> {
        let patterns = paths.iter().map(|path| Pattern::parse(path)).collect::<Result<_, _>>()?;
        self.0.push(Entry { host: host.map(name_of), patterns, methods, route });
        Ok(())
    }

    /// The first route that has the host, the path and the method of a request.
    pub(crate) fn find(&self, head: &Parts, host: Option<&str>) -> Option<&T> {
        let candidates = || self.0.iter().filter(|entry| entry.methods.contains(&head.method));
        candidates().next()?;
        let (path, host) = (path::normal(head.uri.path()), host.map(name_of));
        candidates()
            .filter(|entry| entry.host.is_none() || entry.host == host)
            .find(|entry| entry.patterns.iter().any(|pattern| pattern.matches(&path)))
            .map(|entry| &entry.route)
    }

    pub(crate) fn routes(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|entry| &entry.route)
    }
}

/// A host without its port, as names are compared.
pub(crate) fn name_of(host: &str) -> String {
    let port = host.rfind(':').filter(|colon| !host[*colon..].contains(']'));
    host[..port.unwrap_or(host.len())].trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn found(table: &Table<u8>, method: &str, path: &str, host: Option<&str>) -> Option<u8> {
        let request = http::Request::builder().method(method).uri(path).body(()).unwrap();
        table.find(&request.into_parts().0, host).copied()
    }

    fn table(routes: &[(Option<&str>, &str, &str)]) -> Table<u8> {
        let mut table = Table::default();
        for (number, (host, path, method)) in (0..).zip(routes) {
            let methods = vec![method.parse().unwrap()];
            table.add(*host, &[(*path).to_owned()], methods, number).unwrap();
        }
        table
    }

    #[test]
    fn the_first_route_counts_that_has_host_path_and_method() {
        let table = table(&[
            (Some("a.example"), "/pay", "POST"),
            (None, "/pay", "PATCH"),
            (None, "/{*all}", "POST"),
        ]);
        for (method, path, host, expected) in [
            ("POST", "/pay", Some("A.example:443"), Some(0)),
            ("POST", "/pay", Some("b.example"), Some(2)),
            ("POST", "/pay", None, Some(2)),
            ("PATCH", "/pay", Some("a.example"), Some(1)),
            ("PATCH", "/other", None, None),
            ("GET", "/pay", Some("a.example"), None),
        ] {
            assert_eq!(found(&table, method, path, host), expected, "{method} {path} {host:?}");
        }
    }

    #[test]
    fn another_spelling_of_a_path_is_guarded_too() {
        let table = table(&[(None, "/payments/{*rest}", "POST")]);
        for path in [
            "/payments",
            "/payments/",
            "/payments/1/refunds",
            "//payments//1",
            "/pay%6Dents/1",
            "/./payments/1",
            "/other/../payments/1",
            "/other/%2e%2e/payments/1",
            "/payments/1?a=/../..",
        ] {
            assert_eq!(found(&table, "POST", path, None), Some(0), "{path}");
        }
        for path in ["/", "/paymentsx", "/payments/..", "/Payments", "/payments%2F1"] {
            assert_eq!(found(&table, "POST", path, None), None, "{path}");
        }
    }

    #[test]
    fn a_host_has_no_port_and_no_case() {
        for host in ["Shop.example", "shop.example:8080", "shop.example.", "SHOP.EXAMPLE.:1"] {
            assert_eq!(name_of(host), "shop.example");
        }
        assert_eq!(name_of("[2001:DB8::1]:80"), "[2001:db8::1]");
        assert_eq!(name_of("[2001:db8::1]"), "[2001:db8::1]");
    }
}
