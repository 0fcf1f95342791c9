//! What a client has sent, and a database quotes in its errors, does not reach the logs.

use std::error::Error;

use axum::Router;
use axum::body::Body;
use axum::routing::post;
use http::{Request, StatusCode};
use tower::ServiceExt;
use tower_idempotency::store::{Store, TxError};
use tower_idempotency::{Attempt, IdempotencyLayer, Scope};

use crate::support::databases::{Base, Lite, Pg};
use crate::support::{Log, patiently};

/// What the client sends.
const CARD: &str = "4111-1111-1111-1111";

/// The handler runs these statements, whose errors quote the card.
async fn logged<B: Base>(store: impl Store, statement: String) -> Vec<String> {
    let (log, _guard) = Log::warnings();
    let handler = async move |attempt: Attempt| -> Result<StatusCode, TxError> {
        let mut tx = attempt.transaction::<B::Db>().unwrap();
        B::run(&mut tx, statement).await?;
        Ok(StatusCode::CREATED)
    };
    let layer = IdempotencyLayer::new(store).scope(|_| Scope::anonymous());
    let app = Router::new().route("/", post(handler)).layer(layer);
    let request = Request::post("/").header("idempotency-key", "key").body(Body::empty()).unwrap();
    let response = patiently(app.oneshot(request)).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(log.lines(CARD), [""; 0]);
    log.lines("a handler's statement failed, and the client got 500")
}

/// The whole chain of an error, as a log may show it.
fn chain(error: &dyn Error) -> String {
    let mut text = format!("{error} {error:?}");
    if let Some(source) = error.source() {
        text = format!("{text} {}", chain(source));
    }
    text
}

#[tokio::test]
async fn the_error_of_a_statement_in_postgres_is_logged_by_its_code_constraint_and_table() {
    let pg = Pg::start().await;
    pg.ask("ALTER TABLE orders ADD CONSTRAINT once UNIQUE (item)").await;
    let raise =
        format!("DO $$ BEGIN RAISE EXCEPTION 'the card is {CARD}' USING ERRCODE = '23514'; END $$");
    for (statement, told) in [
        (
            format!("INSERT INTO orders VALUES ('{CARD}'), ('{CARD}')"),
            "SQLSTATE 23505, constraint once, table orders",
        ),
        (format!("SELECT '{CARD}'::uuid"), "SQLSTATE 22P02"),
        (raise, "SQLSTATE 23514"),
    ] {
        let lines = logged::<Pg>(pg.tx_store(), statement).await;
        assert!(matches!(&lines[..], [line] if line.contains(told)), "{lines:?}");
    }
}

#[tokio::test]
async fn the_error_of_a_statement_in_sqlite_is_logged_by_its_code() {
    let base = Lite::start().await;
    base.ask(&format!(
        "CREATE TRIGGER quoting BEFORE INSERT ON orders BEGIN SELECT RAISE(ABORT, 'not {CARD}'); END"
    ))
    .await;
    let statement = format!("INSERT INTO orders VALUES ('{CARD}')");
    let lines = logged::<Lite>(base.store().await, statement).await;
    assert!(
        matches!(&lines[..], [line] if line.contains("SQLite: constraint violated (1811)")),
        "{lines:?}"
    );
}

#[tokio::test]
async fn the_error_of_a_handler_quotes_nothing_by_itself() {
    let pg = Pg::start().await;
    let mut connection = pg.connect().await;
    let error = Pg::run(&mut connection, format!("SELECT '{CARD}'::uuid")).await.unwrap_err();
    assert!(error.to_string().contains(CARD), "what this test is about");
    let error = TxError::from(error);
    assert!(!chain(&error).contains(CARD), "{error:?}");
    assert!(error.get_ref().to_string().contains(CARD), "the application can still read it");
}

/// A trigger of the application on the records, which quotes what is written.
async fn rejected<B: Base>(base: &B, triggers: &[&str]) {
    for trigger in triggers {
        base.ask(trigger).await;
    }
    let (log, _guard) = Log::warnings();
    let store = base.leasing().await;
    let layer = IdempotencyLayer::new(store).scope(|_| Scope::anonymous());
    let handler = || std::future::ready((StatusCode::CREATED, CARD.repeat(10)));
    let app = Router::new().route("/", post(handler)).layer(layer);
    for status in [StatusCode::CREATED, StatusCode::CONFLICT] {
        let request =
            Request::post("/").header("idempotency-key", "key").body(Body::empty()).unwrap();
        assert_eq!(patiently(app.clone().oneshot(request)).await.unwrap().status(), status);
    }
    assert_eq!(log.lines(CARD), [""; 0]);
    assert_eq!(log.lines("the store rejects the response").len(), 1);
}

#[tokio::test]
async fn what_the_store_says_of_a_rejected_response_quotes_nothing_of_it() {
    let function = "CREATE FUNCTION quoting() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                    RAISE EXCEPTION 'not %', convert_from(NEW.response_body, 'UTF8') USING ERRCODE = '22023'; END $$";
    let trigger = "CREATE TRIGGER quoting BEFORE UPDATE ON idempotency_records FOR EACH ROW \
                   WHEN (octet_length(NEW.response_body) > 100) EXECUTE FUNCTION quoting()";
    rejected(&Pg::start().await, &[function, trigger]).await;
    let trigger = format!(
        "CREATE TRIGGER quoting BEFORE UPDATE ON idempotency_records WHEN length(NEW.response_body) > 100 \
         BEGIN SELECT RAISE(ABORT, 'not {CARD}'); END"
    );
    rejected(&Lite::start().await, &[&trigger]).await;
}
