//! What the store says when its path is the wrong one: enough to correct it.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use tower_idempotency::SqliteStore;
use tower_idempotency::store::{Store, StoreError, StoreErrorKind};

use super::given::{File, request};

#[track_caller]
fn says(error: &StoreError, words: &[&str]) {
    assert_eq!(error.kind(), StoreErrorKind::Configuration, "{error:?}");
    for word in words {
        assert!(error.to_string().contains(word), "{word}: {error:?}");
    }
}

async fn not_opened(path: impl AsRef<Path>) -> StoreError {
    SqliteStore::open(path).await.unwrap_err()
}

#[tokio::test]
async fn a_url_is_not_a_path() {
    for url in ["sqlite://u.db", "sqlite:u.db", "file:u.db"] {
        let error = not_opened(url).await;
        says(&error, &["this is a URL, and `open` takes a path, such as `u.db`"]);
    }
}

#[tokio::test]
async fn a_directory_and_a_text_are_not_a_file_of_sqlite() {
    let file = File::new();
    let directory = file.path().parent().unwrap().to_owned();
    let place = format!("cannot open {}", directory.display());
    says(&not_opened(&directory).await, &[&place, "it is a directory"]);
    std::fs::write(
        file.path(),
        "a text that is longer than the head of a file of SQLite\n".repeat(99),
    )
    .unwrap();
    let place = format!("cannot open {}", file.path().display());
    says(&not_opened(file.path()).await, &[&place, "is not one of SQLite"]);
}

#[tokio::test]
async fn errors_of_a_pool_name_its_file_in_both_modes() {
    let file = File::new();
    let place = format!("the file {}", file.path().display());
    let missing = SqliteStore::with_pool(SqlitePool::connect_lazy_with(
        SqliteConnectOptions::new().filename(file.path()),
    ));
    let empty = SqliteStore::with_pool(SqlitePool::connect_lazy_with(file.options()));
    for (store, words) in
        [(missing, "the file cannot be opened"), (empty, "`SqliteStore::migrate` has not been run")]
    {
        let in_transaction = store.clone().in_transaction();
        for error in [
            store.reserve(&request("first")).await.unwrap_err(),
            in_transaction.reserve(&request("first")).await.unwrap_err(),
            store.ping().await.err().unwrap_or(store.inspect(&request("x").key).await.unwrap_err()),
            store.check().await.unwrap_err(),
        ] {
            says(&error, &[&place, words]);
        }
    }
    file.open().await;
    let reading = file.options().create_if_missing(false).read_only(true);
    let store = SqliteStore::with_pool(SqlitePool::connect_lazy_with(reading));
    let error = store.reserve(&request("first")).await.unwrap_err();
    says(&error, &[&place, "takes no writes"]);
}

#[tokio::test]
async fn a_store_in_transaction_mode_makes_its_table_and_sweeps_it() {
    let file = File::new();
    let pool = SqlitePool::connect_lazy_with(file.options());
    let store = SqliteStore::with_pool(pool.clone()).in_transaction();
    store.migrate().await.unwrap();
    let expired = "INSERT INTO idempotency_records \
                   (key, status, attempt, token, fingerprint, created_at, updated_at, expires_at) \
                   VALUES (zeroblob(32), 'failed', 1, zeroblob(16), zeroblob(33), '2020-01-01', '2020-01-01', '2020-01-01')";
    sqlx::query(expired).execute(&pool).await.unwrap();
    let sweeping = tokio::spawn(store.sweep_every(Duration::from_hours(1)));
    let swept = async {
        let count = "SELECT count(*) FROM idempotency_records";
        while sqlx::query_scalar::<_, i64>(count).fetch_one(&pool).await.unwrap() > 0 {}
    };
    crate::support::patiently(swept).await;
    sweeping.abort();
}

/// Root may write everything, so another user opens the file.
#[cfg(all(unix, feature = "postgres"))]
mod read_only {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use sqlx::Executor as _;

    use super::*;
    use crate::support::postgres::as_server;

    /// The child of the test below.
    #[tokio::test]
    #[ignore = "another test runs it as another user"]
    async fn child() {
        let path = std::env::var_os("FILE_OF_PARENT").unwrap();
        match SqliteStore::open(&path).await {
            Ok(_) => println!("opened"),
            Err(error) => println!("{:?}: {error}", error.kind()),
        }
    }

    /// What an unprivileged user is told.
    fn opened(path: &Path) -> String {
        let mut child = Command::new(std::env::current_exe().unwrap());
        let name = "stores::sqlite::set_up_wrongly::read_only::child";
        child.args(["--exact", name, "--ignored", "--nocapture"]).env("FILE_OF_PARENT", path);
        as_server(&mut child, None);
        String::from_utf8(child.output().unwrap().stdout).unwrap()
    }

    #[tokio::test]
    async fn a_file_or_a_directory_that_takes_no_writes_is_not_opened() {
        let file = File::new();
        let (path, directory) = (file.path(), file.path().parent().unwrap().to_owned());
        file.open().await;
        let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode));
        // The files beside it are gone with the last connection, or anyone may write them.
        for entry in fs::read_dir(&directory).unwrap() {
            mode(&entry.unwrap().path(), 0o666).unwrap();
        }
        mode(&directory, 0o777).unwrap();
        assert!(opened(&path).contains("opened"), "{}", opened(&path));
        let place = format!(
            "Configuration: the idempotency store is not set up for the layer: cannot open {}",
            path.display()
        );
        mode(&path, 0o444).unwrap();
        let told = opened(&path);
        assert!(told.contains(&place) && told.contains("takes no writes: check"), "{told}");
        // The file of another journal mode, which has no log beside it yet.
        let file = File::new();
        let (path, directory) = (file.path(), file.path().parent().unwrap().to_owned());
        file.connect().await.execute("CREATE TABLE orders (item)").await.unwrap();
        let place = format!("cannot open {}", path.display());
        mode(&path, 0o666).unwrap();
        mode(&directory, 0o555).unwrap();
        let told = opened(&path);
        assert!(told.contains(&place) && told.contains("permissions"), "{told}");
        mode(&directory, 0o700).unwrap();
    }
}
