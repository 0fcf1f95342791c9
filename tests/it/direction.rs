//! The direction of the modules and the rules that a compiler does not check, read off the source.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The modules from the bottom up. Each may name those of its own row and of the rows before it.
const ROWS: [&[&str]; 10] = [
    &["digest", "frame", "guide", "headers", "mutex", "secret", "seldom", "task"],
    &["key", "fingerprint", "outcome"],
    &["store"],
    &["lapsed", "pack", "quota", "renewals", "running", "telemetry", "waiting"],
    &["attempt", "body", "config", "grpc", "rejection", "response", "shared", "verdict"],
    &["flow"],
    &["future", "service"],
    &["layer"],
    &["client", "execute", "operate"],
    &["extract", "fuzzing", "lib"],
];

/// No file may be longer, its tests left out.
const LONGEST: usize = 300;

struct Source {
    /// Below `src`, for example `store/memory/shard.rs`.
    file: String,
    /// For example `["store", "memory", "shard"]`.
    modules: Vec<String>,
    lines: usize,
    /// Without comments and tests.
    code: String,
}

impl Source {
    fn read(root: &Path, path: &Path) -> Self {
        let file = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
        let text = fs::read_to_string(path).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        let code: Vec<_> = text.lines().map(|line| line.split("//").next().unwrap()).collect();
        let modules = file.trim_end_matches(".rs").trim_end_matches("/mod").split('/');
        let modules = modules.map(str::to_owned).collect();
        Self { modules, lines: text.lines().count(), code: code.join("\n"), file }
    }

    /// Whether a word stands in the code by itself, not as a part of a longer one.
    fn names(&self, word: &str) -> bool {
        self.code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word)
    }

    fn has_any(&self, texts: &[&str]) -> bool {
        texts.iter().any(|text| self.code.contains(text))
    }

    fn has_modules(&self, names: &[&str]) -> bool {
        self.modules.iter().any(|module| names.contains(&&**module))
    }

    /// The module at the root of the crate that the file belongs to.
    fn module(&self) -> &str {
        &self.modules[0]
    }

    /// The modules at the root of the crate that the code names in paths which start with `crate` or `super`.
    fn named_modules(&self) -> BTreeSet<String> {
        let code = self.without_super();
        let mut named: BTreeSet<_> = code.split("crate::").skip(1).flat_map(first_names).collect();
        named.remove(self.module());
        named
    }

    /// The code with every path that starts with `super` made to start with `crate`.
    fn without_super(&self) -> String {
        let mut code = String::new();
        let mut rest = &*self.code;
        while let Some(start) = rest.find("super::") {
            code.push_str(&rest[..start]);
            rest = &rest[start..];
            let mut depth = self.modules.len();
            while let Some(after) = rest.strip_prefix("super::") {
                depth = depth.saturating_sub(1);
                rest = after;
            }
            for module in ["crate"].into_iter().chain(self.modules[..depth].iter().map(String::as_str)) {
                code.push_str(module);
                code.push_str("::");
            }
        }
        code + rest
    }
}

/// The first names of the path, or of the paths in braces, that `text` starts with.
fn first_names(text: &str) -> Vec<String> {
    let ident = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(list) = text.strip_prefix('{') else {
        return vec![ident(text)];
    };
    let mut names = vec![ident(list)];
    let mut depth = 0;
    for (index, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(ident(&list[index + 1..])),
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// Every file of the crate that is not a test.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for found in fs::read_dir(folder).unwrap() {
            let path: PathBuf = found.unwrap().path();
            let is_source = path.extension().is_some_and(|extension| extension == "rs");
            if path.is_dir() {
                folders.push(path);
            } else if is_source && !path.ends_with("tests.rs") {
                sources.push(Source::read(&root, &path));
            }
        }
    }
    sources.sort_by(|a, b| a.file.cmp(&b.file));
    assert!(sources.len() > 15, "the source of the crate was not found");
    sources
}

fn row(module: &str) -> usize {
    let row = ROWS.iter().position(|row| row.contains(&module));
    row.unwrap_or_else(|| panic!("`{module}` is no module with a place in ROWS"))
}

/// The files of these modules.
fn sources_of(modules: &[&str]) -> Vec<Source> {
    sources().into_iter().filter(|source| modules.contains(&source.module())).collect()
}

/// The names of the files for which `holds` holds.
fn files_where(holds: impl Fn(&Source) -> bool) -> Vec<String> {
    sources().into_iter().filter(|source| holds(source)).map(|source| source.file).collect()
}

#[test]
fn paths_are_read_right() {
    let source = Source {
        file: "store/memory/shard.rs".into(),
        modules: ["store", "memory", "shard"].map(str::to_owned).into(),
        lines: 1,
        code: "use super::super::{Token, error::X}; use super::super::super::flow; pub(super) fn x() \
               use crate::{key::{Scope, Key}, outcome}; crate::config::Config::new(); super::room::Room"
            .into(),
    };
    let named: Vec<_> = source.named_modules().into_iter().collect();
    assert_eq!(named, ["config", "flow", "key", "outcome"]);
}

#[test]
fn modules_name_only_those_below_them() {
    for source in sources() {
        for named in source.named_modules() {
            let below = row(&named) <= row(source.module());
            assert!(below, "{} names `{named}`, which stands above it", source.file);
        }
    }
}

#[test]
fn modules_do_not_name_one_another_in_a_circle() {
    let mut named = BTreeMap::<String, BTreeSet<String>>::new();
    for source in sources() {
        named.entry(source.module().to_owned()).or_default().extend(source.named_modules());
    }
    // What names nothing that is left is taken away, until nothing can be.
    loop {
        let left: BTreeSet<_> = named.keys().cloned().collect();
        named.retain(|_, names| names.iter().any(|name| left.contains(name)));
        if named.len() == left.len() {
            break;
        }
    }
    assert!(named.is_empty(), "these name one another: {:?}", named.keys());
}

#[test]
fn stores_know_nothing_of_requests_tower_axum_or_the_layer() {
    let foreign = ["Request", "tower", "tower_service", "tower_layer", "axum", "Config", "Rejection"];
    for source in sources_of(&["store"]) {
        for word in foreign {
            assert!(!source.names(word), "{} names {word}", source.file);
        }
    }
}

#[test]
fn keys_fingerprints_and_outcomes_do_no_io_and_read_no_clock() {
    let pure = sources_of(&["digest", "frame", "key", "fingerprint", "outcome"]);
    for source in &pure {
        for word in ["tokio", "Instant", "SystemTime", "async", "await", "fs", "net", "env", "tracing"] {
            assert!(!source.names(word), "{} names {word}", source.file);
        }
    }
}

#[test]
fn the_decision_does_no_io_and_reads_no_clock() {
    let flow = sources_of(&["flow"]).into_iter().find(|source| source.file == "flow/decide.rs").unwrap();
    let (before, decide) = flow.code.split_once("fn decide(").expect("the decision is a fn");
    let decide = decide.split("\n}\n").next().unwrap();
    assert!(decide.len() > 200, "not the whole function: {decide}");
    assert!(!before.ends_with("async "));
    for text in ["await", "Instant", "SystemTime", "elapsed", "store.", "tokio", "tracing"] {
        assert!(!decide.contains(text), "the decision names {text}");
    }
}

#[test]
fn only_the_flow_awaits_the_store_and_calls_the_inner_service_for_it() {
    let operations = ["reserve", "complete", "fail", "release", "renew", "changed"];
    let operations = operations.map(|operation| format!("store.{operation}("));
    let asks = |source: &Source| operations.iter().any(|operation| source.code.contains(operation));
    let asking = files_where(|source| source.module() != "store" && asks(source));
    assert_eq!(asking, ["flow/admission.rs", "flow/lease.rs", "flow/line.rs", "flow/settle.rs"]);
    // The client side has a service of its own, and no store of records.
    let calling = files_where(|source| source.module() != "client" && source.code.contains("inner.call("));
    assert_eq!(calling, ["flow.rs", "future.rs"]);
    let service = sources_of(&["service"]);
    assert!(service.iter().all(|source| !source.names("await")), "the service decides, the flow waits");
}

#[test]
fn statuses_of_refusals_stand_in_one_place_and_so_do_replays() {
    let constant = |source: &Source| {
        let after = source.code.split("StatusCode::").skip(1);
        after.into_iter().any(|text| text.starts_with(|c: char| c.is_ascii_uppercase()))
    };
    // The extractors' 500 is no refusal: it says that the program was put together wrongly. The status that is kept with
    // the result of an operation outside of HTTP is none either.
    // The 200 of gRPC says that the call went well; the status of its answer is a code.
    // The conformance suite makes answers of its own to keep.
    // So do the tests under loom, those of packing, and the fuzz targets.
    let making = ["conformance", "interleavings", "given", "fuzzing"];
    let makes_its_own = |source: &Source| source.has_modules(&making);
    let named = files_where(|source| constant(source) && !makes_its_own(source));
    assert_eq!(
        named,
        [
            "execute.rs",
            "extract.rs",
            "extract/transaction.rs",
            "grpc.rs",
            "grpc/refusal.rs",
            "rejection.rs",
            "rejection/spec.rs"
        ]
    );
    // The client side hands on the answers of others.
    let makes = |source: &Source| source.has_any(&["Response::new(", "Response::builder("]);
    let making = files_where(|source| source.module() != "client" && makes(source));
    assert_eq!(making, ["rejection.rs", "response.rs"]);
    assert!(sources_of(&["service"])[0].code.contains("type Error = S::Error;"));
}

#[test]
fn the_client_side_knows_nothing_of_the_layer_and_its_stores() {
    let server = ["attempt", "flow", "layer", "service", "shared", "store", "waiting"];
    for source in sources_of(&["client"]) {
        let named = source.named_modules();
        assert!(server.iter().all(|module| !named.contains(*module)), "{} names {named:?}", source.file);
    }
}

#[test]
fn files_are_short_enough_to_be_read() {
    let too_long = files_where(|source| source.lines > LONGEST);
    assert!(too_long.is_empty(), "{too_long:?} have more than {LONGEST} lines");
}
