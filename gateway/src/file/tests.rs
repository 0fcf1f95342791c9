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

/// Where a user reads of the settings.
mod guide {
    use serde::de::DeserializeOwned;

    use super::*;

    const GUIDE: &str = include_str!("../../docs/settings.md");

    /// The examples in TOML, in their order: a whole file, and the settings of the layer.
    fn examples() -> Vec<&'static str> {
        let blocks = GUIDE.split("\n```toml\n").skip(1);
        blocks.map(|block| block.split("\n```\n").next().unwrap()).collect()
    }

    /// The fields of a table, as its error for an unknown one lists them.
    fn fields<T: DeserializeOwned>() -> Vec<String> {
        let Err(error) = toml::from_str::<T>("not-a-field = 1") else {
            panic!("{} takes every field", std::any::type_name::<T>())
        };
        let (_, expected) = error.message().split_once("expected ").unwrap();
        let names = expected.split('`').skip(1).step_by(2);
        names.map(str::to_owned).collect()
    }

    /// The names of fields. It does not compile while one is missing.
    macro_rules! every {
        ($kind:ident: $($field:ident),*) => {{
            let _ = |$kind { $($field: _),* }: $kind| {};
            [$(stringify!($field)),*].map(str::to_owned).to_vec()
        }};
    }

    fn of_the_file() -> Vec<String> {
        every!(File: listen, upstream, store, secret, encryption_keys, hosts, tls, jwt, forwarded,
            limits, timeouts, operators, log, defaults, routes)
    }

    fn of_a_route() -> Vec<String> {
        every!(Route: position, paths, host, methods, scope, profile, canonical_json, ignore,
            label_records, upstream, store, retries, settings)
    }

    #[test]
    fn it_names_every_setting() {
        let mut names = [
            of_the_file(),
            of_a_route(),
            fields::<UpstreamTable>(),
            fields::<Tls>(),
            fields::<Jwt>(),
            fields::<Forwarded>(),
            fields::<Limits>(),
            fields::<Timeouts>(),
            fields::<Operators>(),
            fields::<Log>(),
        ]
        .concat();
        names.retain(|name| !["position", "settings"].contains(&name.as_str()));
        assert!(names.len() > 50, "{names:?}");
        for name in names {
            let written = match name.as_str() {
                "paths" => "path",
                "routes" => "route",
                name => name,
            };
            let has_row = GUIDE.lines().any(|line| {
                line.strip_prefix("| ")
                    .and_then(|line| line.split(" | ").next())
                    .is_some_and(|cell| cell.contains(&format!("`{written}`")))
            });
            assert!(has_row, "docs/settings.md has no row for `{written}`");
            assert!(is_in(examples()[0], written), "the example is without `{written}`");
        }
        for name in fields::<route::Header>() {
            assert!(GUIDE.contains(&format!("`{name}`")) || is_in(GUIDE, &name), "{name}");
        }
    }

    /// Whether a line begins with `name`, as a value, a table or a list of tables.
    fn is_in(example: &str, name: &str) -> bool {
        example.lines().any(|line| {
            let line = line.trim_start_matches(['#', ' ', '[']).trim_start_matches("route.");
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', ']']))
                || line.contains(&format!("{name} = "))
        })
    }

    #[test]
    fn it_names_every_setting_of_the_layer() {
        let names = fields::<Settings>();
        assert!(names.len() > 30, "{names:?}");
        for name in names {
            assert!(is_in(examples()[1], &name), "the list is without `{name}`");
        }
    }

    #[test]
    fn its_examples_are_right() {
        let file = File::parse(examples()[0]).unwrap_or_else(|problem| {
            panic!("{}", problem.told("docs/settings.md", examples()[0]))
        });
        let examples_alone = Limits { body: Some(Size(1 << 30)), ..Limits::default() };
        assert_eq!(file.limits, examples_alone);
        assert_eq!(file.timeouts, Timeouts::default());
        assert_eq!(file.forwarded, Forwarded::default());
        assert_eq!(file.log, Log { level: Some("info".to_owned()), ..Log::default() });

        let of_the_layer = examples()[1];
        toml::from_str::<Settings>(of_the_layer).unwrap();
        for table in ["defaults", "[route]"] {
            let text = match table {
                "defaults" => format!("{USUAL}\n[defaults]\n{of_the_layer}"),
                _ => USUAL.replace("require_key = true", of_the_layer),
            };
            if let Err(problem) = File::parse(&text) {
                panic!("in {table}: {}", problem.told("docs/settings.md", &text));
            }
        }
    }

    #[test]
    fn files_that_are_shipped_are_right() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        for name in ["examples/quickstart.toml", "examples/django/gateway.toml"] {
            let text = std::fs::read_to_string(folder.join(name)).unwrap();
            if let Err(problem) = File::parse(&text) {
                panic!("{}", problem.told(name, &text));
            }
        }
        for name in ["README.md", "docs/python.md"] {
            let text = std::fs::read_to_string(folder.join(name)).unwrap();
            let blocks = text.split("\n```toml\n").skip(1);
            let files = blocks.map(|block| block.split("\n```\n").next().unwrap());
            let mut whole = 0;
            for file in files.filter(|block| block.contains("listen = ")) {
                if let Err(problem) = File::parse(file) {
                    panic!("{}", problem.told(name, file));
                }
                whole += 1;
            }
            assert!(whole > 0, "{name} shows no file");
        }
        for name in ["gateway", "sidecar"] {
            let name = format!("packaging/kubernetes/{name}.yaml");
            let text = std::fs::read_to_string(folder.join(&name)).unwrap();
            let (_, file) = text.split_once("gateway.toml: |\n").unwrap();
            let file = file.split("\n---\n").next().unwrap().replace("\n    ", "\n");
            if let Err(problem) = File::parse(file.trim_start()) {
                panic!("{}", problem.told(&name, &file));
            }
        }
    }
}
