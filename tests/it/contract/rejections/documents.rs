//! Clients, samples and documentation contain the codes of the table and no others.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{no_row, rejections};

/// Where codes are written by hand.
const PLACES: [&str; 9] = [
    "README.md",
    "ARCHITECTURE.md",
    "src",
    "examples",
    "benches",
    "tests",
    "sdk/typescript/src",
    "sdk/typescript/tests",
    "sdk/typescript/README.md",
];

/// Words of this form that are not codes of this crate.
const OTHER_WORDS: [&str; 15] = [
    // Names in databases, JSON and builds.
    "idempotency_key",
    "idempotency_keys",
    "idempotency_attempt",
    "idempotency_records",
    "idempotency_loom",
    // Gauges.
    "idempotency_in_flight",
    "idempotency_waiting",
    "idempotency_record_bytes",
    "idempotency_in_doubt",
    // Stripe's.
    "idempotency_error",
    "idempotency_key_in_use",
    // Codes of a newer server, a code that is cut off, and a document that cannot be read.
    "idempotency_new",
    "idempotency_something_new",
    "idempotency_key_in",
    "idempotency_unread",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn is_text(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("rs" | "md" | "ts" | "js" | "json" | "sh" | "html"))
}

/// The text files at or below a place. A package without the SDK has fewer.
fn files(place: &Path) -> Vec<PathBuf> {
    if place.is_file() {
        return vec![place.to_owned()];
    }
    let found =
        fs::read_dir(place).into_iter().flatten().flat_map(|entry| files(&entry.unwrap().path()));
    found.filter(|path| is_text(path)).collect()
}

/// Every whole word that begins with `idempotency_`.
fn words(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("idempotency_") && !word.ends_with('_')).collect()
}

#[test]
fn every_code_that_is_written_somewhere_is_in_the_table() {
    let codes: BTreeSet<_> = rejections().into_iter().map(|row| row.code).collect();
    let is_other = |word: &str| {
        let is_table = word.starts_with("idempotency_records_");
        let of_metrics = ["_total", "_seconds", "_sum", "_count"];
        let is_metric = of_metrics.iter().any(|suffix| word.ends_with(suffix));
        OTHER_WORDS.contains(&word) || is_table || is_metric
    };
    let mut met = BTreeSet::new();
    for path in PLACES.into_iter().flat_map(|place| files(&root().join(place))) {
        let text = fs::read_to_string(&path).unwrap();
        for word in words(&text).into_iter().filter(|word| !is_other(word)) {
            assert!(
                codes.contains(word),
                "{} names a code without a row: {}",
                path.display(),
                no_row(word)
            );
            met.insert(word.to_owned());
        }
    }
    assert!(met.len() > 10, "the files were not found: {met:?}");
}

/// A table with a new code left out would be wrong, and nothing else would notice.
#[test]
fn a_document_that_lists_the_codes_lists_all_of_them() {
    let rows = rejections();
    let names = |text: &str, code: &str| text.contains(&format!("`{code}`"));
    let mut places = files(&root().join("src/guide"));
    places.extend(
        ["README.md", "ARCHITECTURE.md", "sdk/typescript/README.md"].map(|name| root().join(name)),
    );
    let mut listing = 0;
    for path in places {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let missing: Vec<_> = rows.iter().filter(|row| !names(&text, &row.code)).collect();
        if missing.len() * 2 < rows.len() {
            listing += 1;
            let missing: Vec<_> = missing.into_iter().map(|row| &row.code).collect();
            assert!(missing.is_empty(), "{} lists the codes, but not {missing:?}", path.display());
        }
    }
    assert!(
        listing > 0,
        "the README or a guide lists the codes, and what a request did to get each"
    );
}

#[test]
fn the_guide_for_statuses_names_the_rejections_whose_operation_had_begun() {
    let guide = fs::read_to_string(root().join("src/guide/statuses.md")).unwrap();
    for row in rejections().into_iter().filter(|row| row.had_begun) {
        let code = row.code;
        assert!(
            guide.contains(&format!("`{code}`")),
            "src/guide/statuses.md does not name `{code}`"
        );
    }
}
