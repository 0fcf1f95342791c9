//! The whole layer over a file, and over the same file after a restart.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Request, Response, StatusCode};
use axum::routing::post;
use http_body_util::BodyExt;
use sqlx::Row;
use tokio::sync::Notify;
use tower::ServiceExt;
use tower_idempotency::{IdempotencyLayer, Scope, SqliteStore};

use super::given::{File, writing};

#[derive(Clone, Default)]
struct Told {
    runs: Arc<AtomicU32>,
    started: Arc<Notify>,
}

/// A handler that responds by the path: `/status/500`, `/pending`.
fn app(store: SqliteStore, told: &Told) -> Router {
    let layer = IdempotencyLayer::new(store).scope(|_| Scope::anonymous());
    Router::new()
        .route("/status/{status}", post(response))
        .route("/pending", post(pending))
        .layer(layer)
        .with_state(told.clone())
}

async fn response(State(told): State<Told>, Path(status): Path<u16>) -> (StatusCode, String) {
    let run = told.runs.fetch_add(1, Ordering::Relaxed) + 1;
    (StatusCode::from_u16(status).unwrap(), format!("run {run}"))
}

async fn pending(State(told): State<Told>) {
    told.started.notify_one();
    std::future::pending::<()>().await;
}

async fn call(app: &Router, key: &str, path: &str) -> Response<Body> {
    let request = Request::post(path).header("x-idempotency-key", key).body(Body::empty());
    app.clone().oneshot(request.unwrap()).await.unwrap()
}

async fn text(response: Response<Body>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().into()).unwrap()
}

async fn code(response: Response<Body>) -> String {
    let problem: serde_json::Value = serde_json::from_str(&text(response).await).unwrap();
    problem["code"].as_str().unwrap().to_owned()
}

fn is_replay(response: &Response<Body>) -> bool {
    response.headers().get("x-idempotent-result").is_some_and(|marker| marker == "true")
}

#[tokio::test]
async fn a_response_is_replayed_also_after_a_restart_and_another_request_is_a_mismatch() {
    let (file, told) = (File::new(), Told::default());
    let before = app(file.open().await, &told);
    let first = call(&before, "key", "/status/201").await;
    assert_eq!(first.status(), 201);
    assert!(!is_replay(&first));
    assert_eq!(text(first).await, "run 1");
    assert!(is_replay(&call(&before, "key", "/status/201").await));
    drop(before);

    let after = app(file.open().await, &told);
    let replay = call(&after, "key", "/status/201").await;
    assert!(is_replay(&replay));
    assert_eq!((replay.status(), text(replay).await), (StatusCode::CREATED, "run 1".into()));
    let mismatch = call(&after, "key", "/status/200").await;
    assert_eq!(code(mismatch).await, "idempotency_key_reused");
    assert_eq!(told.runs.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_failed_attempt_is_run_again_and_a_response_that_says_nothing_happened_leaves_no_record()
{
    let (file, told) = (File::new(), Told::default());
    let app = app(file.open().await, &told);
    assert_eq!(text(call(&app, "key", "/status/500").await).await, "run 1");
    assert_eq!(text(call(&app, "key", "/status/500").await).await, "run 2");
    assert_eq!(file.size().await, 1);
    assert_eq!(call(&app, "other", "/status/422").await.status(), 422);
    assert_eq!(file.size().await, 1);
}

#[tokio::test]
async fn a_request_in_flight_is_rejected_by_another_process_too() {
    let (file, told) = (File::new(), Told::default());
    let one = app(file.open().await, &told);
    let other = app(file.open().await, &told);
    let first = tokio::spawn({
        let one = one.clone();
        async move { call(&one, "key", "/pending").await }
    });
    told.started.notified().await;
    for app in [&one, &other] {
        let rejected = call(app, "key", "/pending").await;
        assert_eq!(rejected.status(), 409);
        assert!(rejected.headers().contains_key("retry-after"));
        assert_eq!(code(rejected).await, "idempotency_key_in_flight");
    }
    first.abort();
}

#[tokio::test]
async fn replays_and_rejections_do_not_wait_for_a_writer() {
    let (file, told) = (File::new(), Told::default());
    let app = app(file.open().await, &told);
    call(&app, "key", "/status/201").await;
    let writer = writing(&file).await;
    assert!(is_replay(&call(&app, "key", "/status/201").await));
    assert_eq!(code(call(&app, "key", "/status/200").await).await, "idempotency_key_reused");
    drop(writer);
}

#[tokio::test]
async fn no_client_input_is_a_name_in_the_file_and_a_person_can_read_the_rest() {
    let (file, told) = (File::new(), Told::default());
    let app = app(file.open().await, &told);
    call(&app, "the-key-of-the-client", "/status/201").await;
    let rows = file.run("SELECT * FROM idempotency_records").await;
    let text = |column| rows[0].get::<String, _>(column);
    assert_eq!(rows[0].get::<Vec<u8>, _>("key").len(), 32);
    assert_eq!(text("status"), "success");
    assert_eq!(rows[0].get::<i64, _>("response_status"), 201);
    let headers = rows[0].get::<Vec<u8>, _>("response_headers");
    assert_eq!(headers, b"content-type: text/plain; charset=utf-8\n");
    assert_eq!(rows[0].get::<Vec<u8>, _>("response_body"), b"run 1");
    for column in ["created_at", "updated_at", "expires_at"] {
        let time = text(column);
        let digits = time.bytes().map(|byte| if byte.is_ascii_digit() { b'0' } else { byte });
        assert_eq!(digits.collect::<Vec<_>>(), b"0000-00-00 00:00:00.000", "{time}");
    }
    assert!(text("created_at") <= text("updated_at") && text("updated_at") < text("expires_at"));
    for end in ["", "-wal"] {
        let bytes = std::fs::read(format!("{}{end}", file.path().display())).unwrap();
        assert!(
            !bytes.windows(9).any(|window| window == b"of-the-cl"),
            "the raw key is in the file"
        );
    }
}
