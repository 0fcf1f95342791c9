//! The access modes of the file, and of the files beside it.
#![cfg(unix)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tower_idempotency::SqliteStore;
use tower_idempotency::store::Store;

use super::given::{File, RETENTION, outcome, request, reserve};
use crate::support::Log;

const PATH: &str = "IDEMPOTENCY_TEST_SQLITE_MODES";

fn beside(path: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|end| PathBuf::from(format!("{}{end}", path.display())))
}

fn modes(path: &Path) -> [u32; 3] {
    beside(path).map(|path| fs::metadata(path).unwrap().permissions().mode() & 0o777)
}

/// Not a test: the process that the test below starts with a umask that lets all users in.
#[tokio::test]
#[ignore = "is started by another test"]
async fn makes_files_under_any_umask() {
    let Ok(directory) = std::env::var(PATH) else { return };
    let directory = PathBuf::from(directory);
    // The umask is what it is meant to be.
    fs::write(directory.join("control"), "").unwrap();
    assert_eq!(
        fs::metadata(directory.join("control")).unwrap().permissions().mode() & 0o777,
        0o666
    );

    let path = directory.join("leasing.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let lease = reserve(&store, "key").await;
    let _ = store.complete(&lease, &outcome(100_000), RETENTION).await.unwrap();
    assert_eq!(modes(&path), [0o600; 3]);

    let path = directory.join("in-transactions.db");
    let store = SqliteStore::open(&path).await.unwrap().in_transaction();
    let lease = super::given::acquired(store.reserve(&request("key")).await.unwrap());
    assert_eq!(modes(&path), [0o600; 3], "while an attempt runs");
    let _ = store.complete(&lease, &outcome(100_000), RETENTION).await.unwrap();
    assert_eq!(modes(&path), [0o600; 3]);
}

#[test]
fn only_its_user_can_read_a_new_file_and_those_beside_it_whatever_the_umask() {
    let directory = tempfile::tempdir().unwrap();
    let tests = std::env::current_exe().unwrap();
    let run = "umask 0; exec \"$0\" --ignored --nocapture --exact stores::sqlite::modes::makes_files_under_any_umask";
    let mut command = Command::new("sh");
    let status = command.args(["-c", run]).arg(tests).env(PATH, directory.path()).status().unwrap();
    assert!(status.success());
    assert!(directory.path().join("in-transactions.db").exists());
}

#[tokio::test]
async fn a_file_that_others_can_read_keeps_its_mode_and_a_warning_says_so() {
    let (log, _guard) = Log::warnings();
    let file = File::new();
    drop(file.open().await);
    assert!(log.lines("other users").is_empty());
    for (mode, warnings) in [(0o640, 0), (0o644, 1)] {
        fs::set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
        let store = file.open().await;
        reserve(&store, &format!("key-{mode}")).await;
        assert_eq!(modes(&file.path())[0], mode);
        let lines = log.lines("other users can read or change");
        assert_eq!(lines.len(), warnings, "{lines:?}");
    }
    assert!(log.lines("has mode 644")[0].contains("records.db"));
}
