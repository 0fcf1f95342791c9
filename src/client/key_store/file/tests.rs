#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use tempfile::TempDir;

use super::*;

fn stored(operation: &str, key: &str) -> StoredKey {
    let key = IdempotencyKey::bare(key.as_bytes()).unwrap();
    // A file stores milliseconds.
    let created_at = UNIX_EPOCH + Duration::from_millis(1_790_000_000_123);
    StoredKey { operation: operation.into(), key, created_at }
}

fn store() -> (TempDir, FileKeyStore) {
    let directory = tempfile::tempdir().unwrap();
    let keys = FileKeyStore::open(directory.path().join("deep/keys")).unwrap();
    (directory, keys)
}

#[tokio::test]
async fn the_first_key_of_an_operation_stays() {
    let (_directory, keys) = store();
    assert_eq!(keys.put_if_absent(stored("a", "first")).await.unwrap(), stored("a", "first"));
    let again = FileKeyStore::open(&*keys.directory).unwrap();
    assert_eq!(again.put_if_absent(stored("a", "second")).await.unwrap(), stored("a", "first"));
    assert_eq!(again.put_if_absent(stored("b", "second")).await.unwrap(), stored("b", "second"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_callers_get_one_key() {
    let (_directory, keys) = store();
    let begun: Vec<_> = (0..40)
        .map(|index| {
            let keys = FileKeyStore::open(&*keys.directory).unwrap();
            tokio::spawn(async move {
                keys.put_if_absent(stored("a", &format!("key-{index}"))).await.unwrap()
            })
        })
        .collect();
    let mut got = HashSet::new();
    for begun in begun {
        got.insert(begun.await.unwrap().key);
    }
    assert_eq!(got.len(), 1);
}

#[tokio::test]
async fn only_the_named_key_is_removed() {
    let (_directory, keys) = store();
    keys.put_if_absent(stored("a", "first")).await.unwrap();
    keys.remove("a", &stored("a", "second").key).await.unwrap();
    assert_eq!(keys.list().await.unwrap(), [stored("a", "first")]);
    keys.remove("a", &stored("a", "first").key).await.unwrap();
    assert_eq!(keys.list().await.unwrap(), []);
    keys.remove("a", &stored("a", "first").key).await.unwrap();
    assert_eq!(keys.put_if_absent(stored("a", "second")).await.unwrap(), stored("a", "second"));
}

#[tokio::test]
async fn a_shared_key_is_removed_only_by_remove() {
    let (_directory, keys) = store();
    let key = &stored("a", "first").key;
    keys.put_if_absent(stored("a", "first")).await.unwrap();
    assert!(keys.remove_unshared("a", &stored("a", "second").key).await.unwrap());
    let other = FileKeyStore::open(&*keys.directory).unwrap();
    other.put_if_absent(stored("a", "second")).await.unwrap();
    assert!(!keys.remove_unshared("a", key).await.unwrap());
    assert_eq!(other.list().await.unwrap(), [stored("a", "first")]);
    keys.remove("a", key).await.unwrap();
    assert!(keys.remove_unshared("a", key).await.unwrap());
}

#[tokio::test]
async fn different_names_have_different_keys() {
    let (_directory, keys) = store();
    let long = "x".repeat(10_000);
    let names = [
        "",
        ".",
        "..",
        "../../etc/passwd",
        "a/b",
        "a\\b",
        "A",
        "a",
        "a\0b",
        "ä",
        "a\u{308}",
        "CON",
        &long,
    ];
    for (index, name) in names.iter().enumerate() {
        keys.put_if_absent(stored(name, &index.to_string())).await.unwrap();
    }
    let mut all: Vec<_> =
        keys.list().await.unwrap().into_iter().map(|stored| stored.operation).collect();
    let mut expected = names.map(str::to_owned);
    all.sort();
    expected.sort();
    assert_eq!(all, expected);
}

#[tokio::test]
async fn a_damaged_file_is_an_error_and_not_a_new_key() {
    let (_directory, keys) = store();
    keys.put_if_absent(stored("a", "first")).await.unwrap();
    let path = keys.path("a");
    let whole = fs::read_to_string(&path).unwrap();
    for damage in
        ["", "{", "{}", &whole[..whole.len() / 2], &whole.replace("first", "fi\\u0007rst"), "null"]
    {
        fs::write(&path, damage).unwrap();
        let error = keys.put_if_absent(stored("a", "second")).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{damage:?}");
        assert!(!error.to_string().contains("first"), "{error}");
        assert_eq!(keys.list().await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}

#[tokio::test]
async fn a_file_that_a_crash_left_unfinished_is_skipped() {
    let (_directory, keys) = store();
    let unfinished = keys.path("a").with_extension("unfinished");
    fs::write(&unfinished, r#"{"operation":"a","key":"fi"#).unwrap();
    assert_eq!(keys.list().await.unwrap(), []);
    assert_eq!(keys.put_if_absent(stored("a", "second")).await.unwrap(), stored("a", "second"));
    assert!(!unfinished.exists());
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_read_keys() {
    use std::os::unix::fs::PermissionsExt as _;

    let (_directory, keys) = store();
    keys.put_if_absent(stored("a", "first")).await.unwrap();
    let mode = fs::metadata(keys.path("a")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_an_error_at_once() {
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(FileKeyStore::open(file.path().join("keys")).is_err());
}

#[tokio::test]
async fn a_relative_directory_becomes_absolute() {
    let directory = tempfile::tempdir_in(".").unwrap();
    let relative = Path::new(directory.path().file_name().unwrap()).join("keys");
    let keys = FileKeyStore::open(&relative).unwrap();
    keys.put_if_absent(stored("a", "first")).await.unwrap();
    assert!(keys.directory.is_absolute());
    assert_eq!(
        FileKeyStore::open(&relative).unwrap().list().await.unwrap(),
        [stored("a", "first")]
    );
}
