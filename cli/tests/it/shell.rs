//! Completions, man pages and the version.

use std::fs;
use std::process::Command;

use crate::program::run;

#[test]
fn each_shell_gets_its_completions() {
    for (shell, begin) in [
        ("bash", "_idempotency()"),
        ("zsh", "#compdef idempotency"),
        ("fish", "# Print an optspec"),
    ] {
        let ran = run(&format!("completions {shell}"), &[]);
        assert_eq!(ran.code, 0);
        assert!(ran.out.starts_with(begin), "{shell}: {}", &ran.out[..100]);
        assert!(ran.out.contains("even-in-flight"), "{shell}");
    }
}

#[test]
fn bash_accepts_its_completions() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("idempotency.bash");
    fs::write(&file, run("completions bash", &[]).out).unwrap();
    let checked = Command::new("bash").arg("-n").arg(&file).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn each_command_has_a_man_page() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    assert_eq!(run(&format!("man {}", pages.display()), &[]).code, 0);
    let read = |name: &str| fs::read_to_string(pages.join(name)).unwrap();
    for command in ["list", "show", "settle", "release", "erase", "stats", "watch", "doctor"] {
        let page = read(&format!("idempotency-{command}.1"));
        assert!(page.contains(".SH OPTIONS"), "{page}");
    }
    let page = read("idempotency.1");
    assert!(page.contains("4  nothing was changed: the record has moved on"), "{page}");
    assert_eq!(run("man /dev/null/man1", &[]).code, 1);
}

#[test]
fn the_version_is_that_of_the_package() {
    let expected = format!("idempotency {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run("--version", &[]).out, expected);
}
