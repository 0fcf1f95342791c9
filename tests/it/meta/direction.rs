//! The direction of the modules and the rules that a compiler does not check, read off the source.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms of the crate from the bottom up. A file may name its own room, and each room in an
/// earlier row.
const ROOMS: [&[&str]; 10] = [
    &["guide", "runtime"],
    &["record"],
    &["store"],
    &["http"],
    &["settings", "handler"],
    &["flow"],
    &["layer"],
    &["client", "execute", "openapi", "operate", "testing"],
    &["admin"],
    &["fuzzing"],
];

/// A file of the crate without its comments and tests.
struct Source {
    /// Below `src`, for example `store/memory/shard.rs`.
    file: String,
    /// For example `["store", "memory", "shard"]`.
    module: Vec<String>,
    code: String,
}

impl Source {
    fn read(root: &Path, path: &Path) -> Self {
        let file = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
        let text = fs::read_to_string(path).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        let code: Vec<_> = text.lines().map(|line| line.split("//").next().unwrap()).collect();
        let module = file.trim_end_matches(".rs").trim_end_matches("/mod").split('/');
        Self { module: module.map(str::to_owned).collect(), code: code.join("\n"), file }
    }

    fn room(&self) -> &str {
        &self.module[0]
    }

    fn has_word(&self, word: &str) -> bool {
        self.code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word)
    }

    fn has_any(&self, texts: &[&str]) -> bool {
        texts.iter().any(|text| self.code.contains(text))
    }

    /// The paths that start with `crate` or `super`, as they are seen from the root of the crate.
    fn paths(&self) -> Vec<Vec<String>> {
        let mut paths = Vec::new();
        for start in ["crate::", "super::"] {
            for (at, _) in self.code.match_indices(start) {
                let before = &self.code[..at];
                if before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
                    continue;
                }
                let mut rest = &self.code[at..];
                let mut base = if start == "crate::" { Vec::new() } else { self.module.clone() };
                while let Some(after) = rest.strip_prefix("super::") {
                    base.pop();
                    rest = after;
                }
                leaves(&base, rest.strip_prefix("crate::").unwrap_or(rest), &mut paths);
            }
        }
        paths
    }
}

/// Adds the paths that `text` starts with, each of those in braces.
fn leaves(base: &[String], text: &str, paths: &mut Vec<Vec<String>>) {
    let mut path = base.to_vec();
    let mut rest = text;
    loop {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        if end > 0 {
            path.push(rest[..end].to_owned());
        }
        rest = &rest[end..];
        match rest.strip_prefix("::") {
            Some(after) => rest = after,
            None => break,
        }
    }
    let Some(list) = rest.strip_prefix('{') else {
        return paths.push(path);
    };
    let (mut depth, mut start) = (0, 0);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                leaves(&path, list[start..at].trim_start(), paths);
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for found in fs::read_dir(folder).unwrap() {
            let path: PathBuf = found.unwrap().path();
            let is_source = path.extension().is_some_and(|extension| extension == "rs");
            if path.file_stem().is_some_and(|name| name == "interleavings") {
                // The tests of the memory store under loom.
            } else if path.is_dir() {
                folders.push(path);
            } else if is_source && !path.ends_with("tests.rs") && path != root.join("lib.rs") {
                sources.push(Source::read(&root, &path));
            }
        }
    }
    sources.sort_by(|a, b| a.file.cmp(&b.file));
    assert!(sources.len() > 100, "the source of the crate was not found");
    sources
}

fn sources_of(module: &str) -> Vec<Source> {
    let below = format!("{module}/");
    let found: Vec<_> = sources()
        .into_iter()
        .filter(|source| source.file.starts_with(&below) || source.file == format!("{module}.rs"))
        .collect();
    assert!(!found.is_empty(), "no file is in `{module}`");
    found
}

fn files_where(holds: impl Fn(&Source) -> bool) -> Vec<String> {
    sources().into_iter().filter(|source| holds(source)).map(|source| source.file).collect()
}

fn row(room: &str) -> usize {
    let row = ROOMS.iter().position(|rooms| rooms.contains(&room));
    row.unwrap_or_else(|| panic!("`{room}` is not in ROOMS"))
}

#[test]
fn paths_are_read_right() {
    let source = Source {
        file: "store/memory/shard.rs".into(),
        module: ["store", "memory", "shard"].map(str::to_owned).into(),
        code: "use super::super::{Token, error::{X, Y}}; pub(super) fn x() use crate::{key::Key, outcome}; \
               super::room::Room { length }"
            .into(),
    };
    let mut paths: Vec<_> = source.paths().iter().map(|path| path.join("::")).collect();
    paths.sort();
    let expected = [
        "key::Key",
        "outcome",
        "store::Token",
        "store::error::X",
        "store::error::Y",
        "store::memory::room::Room",
    ];
    assert_eq!(paths, expected);
}

#[test]
fn files_name_only_the_rooms_below_theirs() {
    for source in sources() {
        for path in source.paths() {
            let Some(room) = path.first().filter(|room| ROOMS.concat().contains(&&***room)) else {
                continue;
            };
            let is_below = room == source.room() || row(room) < row(source.room());
            assert!(
                is_below,
                "{} names `{room}`, which is not below `{}`",
                source.file,
                source.room()
            );
        }
    }
}

/// In every folder: of two modules side by side, one does not name the other if that one names it,
/// through others too.
#[test]
fn modules_side_by_side_do_not_name_one_another_in_a_circle() {
    let sources = sources();
    let modules: BTreeSet<_> = sources.iter().map(|source| source.module.clone()).collect();
    // For each folder, which of its modules names which.
    let mut folders = BTreeMap::<&[String], BTreeSet<(&str, String)>>::new();
    for source in &sources {
        for mut path in source.paths() {
            while !path.is_empty() && !modules.contains(&path) {
                path.pop();
            }
            let shared = source.module.iter().zip(&path).take_while(|(a, b)| a == b).count();
            if let (Some(from), Some(to)) = (source.module.get(shared), path.get(shared)) {
                folders.entry(&source.module[..shared]).or_default().insert((from, to.clone()));
            }
        }
    }
    for (folder, mut named) in folders {
        // What names nothing that is left is taken away, until nothing can be.
        loop {
            let left: BTreeSet<_> = named.iter().map(|(from, _)| (*from).to_owned()).collect();
            let before = named.len();
            named.retain(|(_, to)| left.contains(to));
            if named.len() == before {
                break;
            }
        }
        assert!(named.is_empty(), "in `{}` these name one another: {named:?}", folder.join("/"));
    }
}

#[test]
fn stores_know_nothing_of_requests_tower_axum_or_the_layer() {
    let foreign = ["Request", "tower_service", "tower_layer", "Config", "Rejection"];
    for source in sources_of("store") {
        assert!(!source.has_any(&["tower::", "axum::"]), "{} names tower or axum", source.file);
        for word in foreign {
            assert!(!source.has_word(word), "{} names {word}", source.file);
        }
    }
}

#[test]
fn records_do_no_io_and_read_no_clock() {
    for source in sources_of("record") {
        for word in
            ["tokio", "Instant", "SystemTime", "async", "await", "fs", "net", "env", "tracing"]
        {
            assert!(!source.has_word(word), "{} names {word}", source.file);
        }
    }
}

#[test]
fn the_decision_does_no_io_and_reads_no_clock() {
    let [decide] = &sources_of("flow/decide")[..] else { panic!("the decision is one file") };
    assert!(decide.code.contains("fn decide("));
    for word in ["async", "await", "Instant", "SystemTime", "elapsed", "store.", "tokio", "tracing"]
    {
        assert!(!decide.code.contains(word), "the decision names {word}");
    }
}

#[test]
fn only_the_flow_awaits_the_store_and_calls_the_inner_service_for_it() {
    let operations = ["reserve", "complete", "fail", "release", "renew", "wait_for_change"];
    let operations = operations.map(|operation| format!("store.{operation}("));
    let asks = |source: &Source| operations.iter().any(|operation| source.code.contains(operation));
    // The checklist tries a store with keys of its own.
    let is_flow = |source: &Source| !["store", "operate"].contains(&source.room());
    let asking = files_where(|source| is_flow(source) && asks(source));
    assert_eq!(asking, ["flow/lease.rs", "flow/line.rs", "flow/reserve.rs", "flow/settle.rs"]);
    // The client side has a service of its own, and no store of records.
    let calling =
        files_where(|source| source.room() != "client" && source.code.contains("inner.call("));
    assert_eq!(calling, ["flow.rs", "layer/future.rs"]);
    let service = sources_of("layer/service");
    assert!(
        service.iter().all(|source| !source.has_word("await")),
        "the service decides, the flow waits"
    );
    assert!(
        service[0].code.contains("type Error = S::Error;"),
        "the layer adds no error of its own"
    );
}

#[test]
fn statuses_of_rejections_are_in_one_place_and_so_are_replays() {
    let constant = |source: &Source| {
        let after = source.code.split("StatusCode::").skip(1);
        after.into_iter().any(|text| text.starts_with(|c: char| c.is_ascii_uppercase()))
    };
    // The conformance suite, the probe of the checklist, the tests of packing and the fuzz targets
    // make responses to store.
    let making = ["conformance", "probe", "given", "fuzzing"];
    let makes_its_own =
        |source: &Source| source.module.iter().any(|module| making.contains(&&**module));
    let named = files_where(|source| constant(source) && !makes_its_own(source));
    // Besides rejections: the problems of operators' requests, the status stored with the result of an operation outside of HTTP, the
    // extractors' 500 for a program that was put together wrongly, and the 200 of gRPC, which says
    // that the call went well.
    let statuses = [
        "admin/problem.rs",
        "execute.rs",
        "handler/extract.rs",
        "handler/extract/transaction.rs",
        "http/grpc.rs",
        "http/grpc/rejection.rs",
        "http/rejection.rs",
        "http/rejection/kinds.rs",
    ];
    assert_eq!(named, statuses);
    // The client side hands on the responses of others.
    let makes = |source: &Source| source.has_any(&["Response::new(", "Response::builder("]);
    let making = files_where(|source| source.room() != "client" && makes(source));
    assert_eq!(making, ["http/rejection.rs", "http/response.rs"]);
}

#[test]
fn the_client_side_knows_nothing_of_the_layer_and_its_stores() {
    let server = ["flow", "handler", "layer", "store"];
    for source in sources_of("client") {
        let paths = source.paths();
        let named =
            paths.iter().find(|path| path.first().is_some_and(|room| server.contains(&&**room)));
        assert!(named.is_none(), "{} names {named:?}", source.file);
    }
}
