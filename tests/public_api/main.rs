//! The public API, as `tests/public_api/api.txt` has it. A change of the API is a change of that
//! file:
//!
//! ```text
//! UPDATE_PUBLIC_API=1 cargo test --test public_api
//! ```
//!
//! It is read off the JSON of rustdoc, with every feature, for the Rust of `rust-version`.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use public_api::{Builder, PublicApi};

/// Crates whose types are part of the API: a new major version of one is a new one of this crate.
/// `src/lib.rs` lists them under "Versions".
const EXTERNAL: [&str; 16] = [
    "axum",
    "axum_core",
    "bytes",
    "http",
    "http_body",
    "redis",
    "reqwest",
    "reqwest_middleware",
    "serde_core",
    "serde_json",
    "sqlx_core",
    "sqlx_postgres",
    "sqlx_sqlite",
    "tower",
    "tower_layer",
    "tower_service",
];

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The API of the source as it is now.
fn api() -> PublicApi {
    let target = here("target");
    let target = env::var_os("CARGO_TARGET_DIR").map_or(target, PathBuf::from);
    let args = "rustdoc --lib --all-features -- -Z unstable-options --output-format json --cap-lints allow";
    let output = Command::new(env!("CARGO"))
        .args(args.split(' '))
        .current_dir(here(""))
        .env("RUSTDOC", here("tests/public_api/rustdoc"))
        .env("CARGO_TARGET_DIR", &target)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "rustdoc failed:\n{errors}");
    let json = target.join("doc/tower_idempotency.json");
    Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()
        .expect("the JSON of rustdoc has another format: use the Rust of `rust-version`")
}

#[test]
fn the_public_api_is_the_one_that_is_written_down() {
    let snapshot = here("tests/public_api/api.txt");
    let now = api().to_string();
    if env::var_os("UPDATE_PUBLIC_API").is_some() {
        fs::write(&snapshot, &now).unwrap();
    }
    let written = fs::read_to_string(&snapshot).unwrap();
    let (now, written): (BTreeSet<_>, BTreeSet<_>) =
        (now.lines().collect(), written.lines().collect());
    let gone: Vec<_> = written.difference(&now).map(|line| format!("- {line}")).collect();
    let new: Vec<_> = now.difference(&written).map(|line| format!("+ {line}")).collect();
    assert!(
        gone.is_empty() && new.is_empty(),
        "the public API has changed. Add the change to CHANGELOG.md, and run \
         `UPDATE_PUBLIC_API=1 cargo test --test public_api`:\n{}\n{}",
        gone.join("\n"),
        new.join("\n"),
    );

    let external: BTreeSet<_> = now
        .iter()
        .flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':'))
        .filter_map(|path| path.split_once("::").map(|(root, _)| root))
        .filter(|root| {
            // Of `pin_project_lite` it is a bound that its macro writes.
            let own = ["alloc", "core", "pin_project_lite", "std", "tower_idempotency"];
            !own.contains(root) && root.starts_with(|c: char| c.is_ascii_lowercase())
        })
        .collect();
    assert_eq!(external, BTreeSet::from(EXTERNAL), "the crates whose types are in the public API");
    let docs = fs::read_to_string(here("src/lib.rs")).unwrap();
    for name in EXTERNAL {
        assert!(
            docs.contains(&format!("`{name}`")),
            "the section \"Versions\" of src/lib.rs lists `{name}`"
        );
    }
}
