//! Wrong command lines and stores: the error says what to do, and contains no secret.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use crate::program::run;

#[test]
fn without_a_store_the_error_says_how_to_name_one() {
    for store in ["", "mysql://h/d", "memory"] {
        let ran = run("list", &[("IDEMPOTENCY_STORE", store)]);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{store}");
        let form = "redis+sentinel://…, postgres://… or sqlite:PATH\n";
        assert!(ran.errors.ends_with(form), "{}", ran.errors);
    }
}

#[test]
fn a_file_that_is_missing_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing.db");
    let ran = run("list", &[("IDEMPOTENCY_STORE", &format!("sqlite:{}", path.display()))]);
    assert_eq!(ran.code, 1);
    let expected = format!("error: {}: No such file or directory (os error 2)\n", path.display());
    assert_eq!(ran.errors, expected);
    assert!(!path.exists());
}

#[test]
fn a_file_without_the_table_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty.db");
    fs::write(&path, "").unwrap();
    let store = format!("sqlite:{}", path.display());
    let ran = run("list", &[("IDEMPOTENCY_STORE", &store)]);
    assert_eq!(ran.code, 1);
    assert!(ran.errors.starts_with("error: the idempotency store is not set up"), "{}", ran.errors);
    let ran = run("doctor", &[("IDEMPOTENCY_STORE", &store)]);
    assert_eq!(ran.code, 5, "{}", ran.errors);
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
}

#[test]
fn no_error_contains_a_password() {
    let urls = [
        "redis://user:s3cr3t@127.0.0.1:1/0",
        "redis://user:s3cr3t@127.0.0.1:port",
        "redis+cluster://:s3cr3t@127.0.0.1:1",
        "redis+sentinel://:s3cr3t@127.0.0.1:1/main",
        "postgres://user:s3cr3t@127.0.0.1:1/shop",
        "postgres://user:s3cr3t@127.0.0.1:port/shop",
        "mysql://user:s3cr3t@127.0.0.1/shop",
    ];
    for url in urls {
        for line in ["list --timeout 500ms", "doctor --timeout 500ms", "stats --help"] {
            let ran = run(line, &[("IDEMPOTENCY_STORE", url)]);
            let text = format!("{}{}", ran.out, ran.errors);
            assert!(!text.contains("s3cr3t"), "{line} {url}: {text}");
            if line != "stats --help" {
                assert!(matches!(ran.code, 1 | 2 | 5), "{line} {url}: {text}");
            }
        }
    }
}

#[test]
fn a_store_that_is_down_is_a_finding_of_the_doctor() {
    for url in ["redis://127.0.0.1:1", "postgres://u@127.0.0.1:1/shop"] {
        let ran = run("doctor --json", &[("IDEMPOTENCY_STORE", url)]);
        assert_eq!(ran.code, 5, "{}", ran.errors);
        let found = &ran.json()[0]["findings"][0];
        assert_eq!((&found["name"], &found["result"]), (&"reachable".into(), &"open".into()));
        let text = found["found"].as_str().unwrap();
        assert!(text.contains("127.0.0.1:1: "), "{text}");
        assert!(text.contains("Connection refused"), "{text}");
        // `doctor` itself says more.
        assert!(!text.contains("doctor") && !text.contains("::check`"), "{text}");
        let ran = run("list", &[("IDEMPOTENCY_STORE", url)]);
        assert_eq!(ran.code, 1);
        assert!(ran.errors.ends_with("; `idempotency doctor` says more\n"), "{}", ran.errors);
    }
}

#[test]
fn options_of_other_stores_are_rejected() {
    for (store, option, stores) in [
        ("sqlite:a.db", "--prefix", "Redis"),
        ("sqlite:a.db", "--schema", "PostgreSQL"),
        ("redis://h", "--table", "PostgreSQL and SQLite"),
    ] {
        let ran = run(&format!("list {option} x"), &[("IDEMPOTENCY_STORE", store)]);
        let expected = format!("error: {option} is for {stores}, and the store is another\n");
        assert_eq!((ran.code, ran.errors), (2, expected));
    }
    let ran = run("list --table a'b", &[("IDEMPOTENCY_STORE", "postgres://h")]);
    assert_eq!(ran.code, 2);
    assert!(ran.errors.starts_with("error: --table: "), "{}", ran.errors);
}

#[test]
fn a_wrong_secret_is_named_but_not_shown() {
    let store = ("IDEMPOTENCY_STORE", "redis://127.0.0.1:1");
    let ran = run("list", &[store, ("IDEMPOTENCY_SECRET", "s3cr3t")]);
    let expected = "error: the variable IDEMPOTENCY_SECRET is not 64 hexadecimal digits\n";
    assert_eq!((ran.code, ran.errors.as_str()), (2, expected));
    let key = "0a".repeat(32);
    let ran = run("list", &[store, ("IDEMPOTENCY_ENCRYPTION_KEY", &format!("{key},{key}"))]);
    assert_eq!(ran.code, 2);
    let end = ": put the number of each key before it, as in 2:FILE\n";
    assert!(ran.errors.ends_with(end) && !ran.errors.contains(&key), "{}", ran.errors);
    let ran = run("list --secret-file /missing/secret", &[store]);
    assert_eq!(ran.code, 1);
    assert!(ran.errors.starts_with("error: /missing/secret: "), "{}", ran.errors);
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    for line in ["lst", "show zz", "release 12345678", "list --limit -1"] {
        assert_eq!(run(line, &[]).code, 2, "{line}");
    }
}

#[test]
fn what_a_server_says_does_not_change_the_terminal() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    // It ends with the process of the test.
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut sent = [0; 4096];
                while let Ok(1..) = client.read(&mut sent) {
                    let reply = "-ERR \u{1b}]0;title\u{7} \u{1b}[2J\u{9b}31m\r\n".repeat(8);
                    let _ = client.write_all(reply.as_bytes());
                }
            });
        }
    });
    for line in ["list", "stats", "show 01234567", "watch --times 1", "doctor", "doctor --json"] {
        let ran = run(line, &[("IDEMPOTENCY_STORE", &url)]);
        let text = format!("{}{}", ran.out, ran.errors);
        assert!(text.contains("]0;title"), "{line}: {text:?}");
        let is_dangerous = |char: char| char.is_control() && char != '\n';
        assert!(!text.contains(is_dangerous), "{line}: {text:?}");
    }
}
