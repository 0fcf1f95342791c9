#![allow(clippy::unwrap_used)]

use super::*;

const USUAL: &str = r#"listen = "0.0.0.0:8080"
upstream = "http://127.0.0.1:8000"
store = "redis://127.0.0.1:6379"

[[route]]
path = "/payments/{*rest}"
require_key = true
scope = { header = "authorization", jwt_claim = "sub" }
"#;

fn problem(text: &str) -> String {
    File::parse(text).unwrap_err().told("gateway.toml", text).to_string()
}

#[test]
fn the_usual_file_has_eight_lines() {
    let file = File::parse(USUAL).unwrap();
    assert_eq!(file.routes.len(), 1);
    assert_eq!(file.routes[0].paths.value.0, ["/payments/{*rest}"]);
    let Scope::Header(header) = &file.routes[0].scope.value else { panic!("another scope") };
    assert_eq!(header.jwt_claim.as_deref(), Some("sub"));
}

#[test]
fn a_problem_says_where_it_is() {
    for (from, to, expected) in [
        ("path =", "paths =", "gateway.toml:5: `path` is missing"),
        ("require_key = true", "require_key = 1", "gateway.toml:7: invalid type: integer `1`"),
        ("require_key = true", "lease = \"1ms\"", "gateway.toml:7: "),
        ("require_key", "require_keys", "gateway.toml:7: unknown field `require_keys`"),
        ("scope", "scopes", "gateway.toml:5: `scope` is missing"),
        (
            "{ header = \"authorization\", jwt_claim = \"sub\" }",
            "\"all\"",
            "gateway.toml:8: a scope is",
        ),
        ("listen =", "lisen =", "gateway.toml:1: `listen` is missing"),
        ("0.0.0.0:8080", "everywhere", "gateway.toml:1: `everywhere`: invalid socket address"),
        ("store =", "stores =", "gateway.toml:3: `stores` is not a setting of the gateway"),
        ("[[route]]", "[route]", "gateway.toml:5: write it as [[route]]"),
        ("true", "", "gateway.toml:7: "),
    ] {
        let text = USUAL.replace(from, to);
        let found = problem(&text);
        assert!(found.starts_with(expected), "{to}: {found}");
    }
}

#[test]
fn a_secret_is_not_shown() {
    let file = File::parse(USUAL).unwrap();
    assert!(!format!("{file:?}").contains("6379"), "{file:?}");
}

#[test]
fn sizes_and_durations_have_units() {
    let with = |line: &str| format!("{USUAL}\n[limits]\n{line}\n");
    for (line, bytes) in [("head = \"16KiB\"", 16 << 10), ("head = 9000", 9000)] {
        assert_eq!(File::parse(&with(line)).unwrap().limits.head, Size(bytes));
    }
    for line in ["head = \"16k\"", "head = -1", "head = \"99999999999999GiB\""] {
        assert!(problem(&with(line)).starts_with("gateway.toml:11: "), "{line}");
    }
    let text = format!("{USUAL}\n[timeouts]\nidle = \"5m\"\n");
    assert_eq!(File::parse(&text).unwrap().timeouts.idle, Duration::seconds(300));
    assert!(problem(&text.replace("5m", "0s")).contains("at least `10ms`"));
}
