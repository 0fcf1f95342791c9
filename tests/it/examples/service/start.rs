use super::{PostgresServer, Stores, assert_made, payment, send};

#[tokio::test]
async fn a_wrong_redis_url_ends_the_program_at_start_and_says_what_a_right_one_is() {
    let stores = Stores::embedded();
    for (url, words) in [
        ("localhost:6379", "the URL has no scheme: it is like `redis://"),
        ("redis://127.0.0.1:1", "Connection refused"),
    ] {
        let error = stores.fails(&[("REDIS_URL", url)]).await;
        for words in ["error: ", "REDIS_URL", words] {
            assert!(error.contains(words), "{url}: {error}");
        }
    }
}

#[tokio::test]
async fn a_wrong_database_url_ends_the_program_at_start_and_names_the_server() {
    let (stores, server) = (Stores::embedded(), PostgresServer::start());
    let unknown = server.url() + "-missing";
    for (url, words) in [
        ("localhost/shop", "relative URL without a base"),
        ("postgres://127.0.0.1:1/shop", "127.0.0.1:1: error communicating with database: Conn"),
        (&*unknown, "database \"postgres-missing\" does not exist"),
    ] {
        let error = stores.fails(&[("DATABASE_URL", url)]).await;
        for words in ["error: DATABASE_URL", words] {
            assert!(error.contains(words), "{url}: {error}");
        }
    }
}

#[tokio::test]
async fn a_missing_migration_ends_the_program_at_start_and_is_named() {
    let (stores, server) = (Stores::embedded(), PostgresServer::start());
    let error = stores.fails(&[("DATABASE_URL", &server.url())]).await;
    for words in
        ["error: orders (DATABASE_URL)", "\"idempotency_records\" is not found", "::migrate`"]
    {
        assert!(error.contains(words), "{error}");
    }
}

#[tokio::test]
async fn other_wrong_variables_and_arguments_end_the_program_at_start() {
    let stores = Stores::embedded();
    for (name, value, says) in [
        ("TOKENS", "token-of-alice", "error: TOKENS is not a list of token=account"),
        ("GRACE_MS", "10s", "error: GRACE_MS: invalid digit found in string"),
        ("ORIGIN", "a\nb", "error: ORIGIN: failed to parse header value"),
        ("LISTEN", "nowhere", "error: LISTEN=nowhere: invalid socket address"),
        (
            "SQLITE_FILE",
            "/nowhere/service.db",
            "error: the idempotency store is not set up for \
          the layer: cannot open /nowhere/service.db: the file cannot be made: check its path and \
          the permissions of its directory: No such file or directory (os error 2)",
        ),
    ] {
        assert_eq!(stores.fails(&[(name, value)]).await, says);
    }
    let output = stores.command().arg("serve").output().await.unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("only `migrate` is known"));
}

#[tokio::test]
async fn without_tokens_the_program_prints_one_and_no_other_is_accepted() {
    let stores = Stores::embedded();
    let log = std::fs::File::create(stores.log_file()).unwrap();
    let mut command = stores.command();
    let service = crate::support::sandbox::Sandbox::run(command.env_remove("TOKENS").stderr(log));
    let service = service.await.unwrap();
    let log = stores.log();
    let (_, token) = log.split_once("Bearer ").unwrap();
    let (token, _) = token.split_once('\'').unwrap();
    assert_made(&send(&service, "/v1/payments", token, "k", &payment()).await, false);
    let other = send(&service, "/v1/payments", "token-of-alice", "k", &payment()).await;
    assert_eq!(other.status, 401);
}

#[tokio::test]
async fn the_log_names_what_is_not_ready_for_production() {
    let stores = Stores::embedded();
    let _service = stores.start().await;
    let log = stores.log();
    assert!(log.contains("payments (REDIS_URL): OPEN  store: in the memory"), "{log}");
    assert!(!log.contains("OPEN  scope"), "{log}");
}
