use std::process::{Command, Output};

use super::server::program;

fn run(flags: &[&str]) -> Output {
    Command::new(program()).args(flags).output().unwrap()
}

#[track_caller]
fn rejected(flags: &[&str], word: &str) -> String {
    let Output { status, stdout, stderr } = run(flags);
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(2), "{flags:?}: {stderr}");
    assert!(stdout.is_empty(), "{flags:?}");
    let first = stderr.lines().next().unwrap();
    let flag = flags[0].split('=').next().unwrap();
    assert!(first.starts_with("error: ") && first.contains(flag), "{flags:?}: {first}");
    assert!(first.contains(word), "{flags:?}: {first}");
    assert!(stderr.contains("Usage: sandbox"), "{flags:?}");
    stderr
}

#[test]
fn a_malformed_value_is_rejected() {
    let malformed: [&[&str]; 36] = [
        &["--listen", "3000"],
        &["--listen", "127.0.0.1"],
        &["--store", "memry"],
        &["--store", ""],
        &["--store", "redis://127.0.0.1:port"],
        &["--store", "redis+cluster://127.0.0.1:7000,127.0.0.1:port"],
        &["--store", "redis+cluster://127.0.0.1:7000/1"],
        &["--store", "redis+sentinel://127.0.0.1:26379"],
        &["--store", "postgres://127.0.0.1:port/db"],
        &["--store", "postgres+tx://127.0.0.1:port/db"],
        &["--store", "sqlite"],
        &["--store", "sqlite:"],
        &["--store", "sqlite+tx:"],
        &["--ledger", ""],
        &["--lease", "10"],
        &["--lease", "ten"],
        &["--lease", "-1s"],
        &["--lease", "1.5s"],
        &["--retention", "99999999999999999999h"],
        &["--retention", "9999999999999h"],
        &["--store-timeout", "s"],
        &["--in-flight", "wait"],
        &["--in-flight", "wait:soon"],
        &["--on-failed", "retry"],
        &["--on-abandoned", "replay"],
        &["--max-request", "1MB"],
        &["--max-request", ""],
        &["--max-response", "99999999999999GiB"],
        &["--keep=everything"],
        &["--profile", "square"],
        &["--encryption-key", "00"],
        &["--encryption-key", "zz1122334455667788990011223344556677889900112233445566778899001122"],
        &["--encryption-key", ""],
        &["--ignore", "sent_at"],
        &["--ignore", "/a~2"],
        &["--ignore", "/~"],
    ];
    for flags in malformed {
        rejected(flags, ": ");
    }
}

#[test]
fn an_unknown_flag_and_a_missing_value_are_rejected() {
    rejected(&["--nonsense"], "not a flag");
    rejected(&["extra"], "not a flag");
    rejected(&["--lease"], "needs a value");
    rejected(&["--ledger", "--require-key"], "needs a value");
    rejected(&["--require-key=yes"], "takes no value");
    rejected(&["--canonical-json=yes"], "takes no value");
}

#[test]
fn a_rejected_store_url_does_not_show_its_password() {
    for url in [
        "postgres://me:hunter2@127.0.0.1:port/db",
        "postgres+tx://me:hunter2@127.0.0.1:port/db",
        "redis+cluster://me:hunter2@127.0.0.1:7000/1",
        "redis+sentinel://me:hunter2@127.0.0.1:26379",
    ] {
        let scheme = url.split_inclusive("://").next().unwrap();
        assert!(!rejected(&["--store", url], scheme).contains("hunter2"));
    }
}

#[test]
fn a_rejected_encryption_key_is_not_shown() {
    let key = "1122334455667788990011223344556677889900112233445566778899001122aa";
    assert!(!rejected(&["--encryption-key", key], "64 hexadecimal digits").contains("11223344"));
}

#[test]
fn a_ledger_beside_a_transaction_is_rejected() {
    for store in ["postgres+tx://me:hunter2@127.0.0.1/db", "sqlite+tx:shop.db"] {
        let told = rejected(&["--ledger", "lines", "--store", store], "its table `payments`");
        assert!(!told.contains("hunter2"));
    }
}

#[test]
fn help_prints_the_usage() {
    let Output { status, stdout, .. } = run(&["--help"]);
    assert_eq!(status.code(), Some(0));
    let usage = String::from_utf8(stdout).unwrap();
    assert!(usage.starts_with("Usage: sandbox"));
    for flag in [
        "--listen 127.0.0.1:3000",
        "--store memory",
        "--ledger PATH",
        "--lease 10s",
        "--retention 24h",
        "--store-timeout 2s",
        "--in-flight reject",
        "--on-failed rerun",
        "--on-abandoned rerun",
        "--on-outage closed",
        "--profile default",
        "--require-key",
        "--max-request 1MiB",
        "--max-response 1MiB",
        "--keep full",
        "--encryption-key HEX",
        "--canonical-json",
        "--ignore /json/pointer",
        "--help",
    ] {
        assert!(usage.contains(&format!("\n  {flag} ")), "{flag} in:\n{usage}");
    }
}

#[test]
fn a_ledger_that_cannot_be_opened_is_an_error_at_the_start() {
    let Output { status, stdout, stderr } = run(&["--listen", "127.0.0.1:0", "--ledger", "/"]);
    assert_eq!(status.code(), Some(1));
    assert!(stdout.is_empty());
    assert!(String::from_utf8(stderr).unwrap().contains("ledger"));
}

#[test]
fn a_store_that_cannot_be_reached_is_an_error_at_the_start() {
    // No server listens at port 1.
    for store in [
        "postgres://me:hunter2@127.0.0.1:1/db",
        "postgres+tx://me:hunter2@127.0.0.1:1/db",
        "sqlite:/no/such/directory/records.db",
        "sqlite+tx:/no/such/directory/records.db",
    ] {
        let Output { status, stdout, stderr } = run(&["--listen", "127.0.0.1:0", "--store", store]);
        let stderr = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(1), "{store}: {stderr}");
        assert!(stdout.is_empty(), "{store}");
        let scheme = store.split_inclusive(':').next().unwrap();
        assert!(stderr.starts_with(&format!("error: --store {scheme}")), "{stderr}");
        assert!(stderr.contains("refused") || stderr.contains("cannot open"), "{stderr}");
        assert!(!stderr.contains("hunter2"), "{stderr}");
    }
}
