//! The page: one document, under any path.

use axum::Router;
use axum::body::Body;
use http::Request;
use serde_json::json;
use tower::ServiceExt;
use tower_idempotency::admin::Admin;

use super::{HOST, Site, get};

#[tokio::test]
async fn the_page_is_one_document_that_asks_for_nothing() {
    let page = Site::new().get("").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    for text in [" src=", "http://", "https://", "@import", "url(", "<form action"] {
        assert!(!page.text.contains(text), "{text}");
    }
    assert!(page.text.contains("<html lang=\"en\""));
}

#[tokio::test]
async fn the_routes_work_under_a_path_with_parameters_and_beside_others() {
    let site = Site::new();
    site.failed("order").await;
    let routes = || Admin::new(&site.layer, |_| Some("night shift".to_owned())).router::<()>();
    let digits = site.digits("order");
    for (app, prefix, page) in [
        (Router::new().nest("/{tenant}/ops/{key}", routes()), "/acme/ops/1", ""),
        (Router::new().nest("/ops/", routes()), "/ops", "/"),
        (Router::new().nest_service("/ops", routes()), "/ops", "/"),
        (Router::new().merge(routes()), "", "/"),
    ] {
        for (path, status) in
            [("/records", 200), (&*format!("/records/{digits}"), 200), (page, 200), ("/x", 404)]
        {
            let request = Request::get(format!("{prefix}{path}")).header("host", HOST);
            let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(response.status(), status, "{prefix}{path}");
        }
    }
}

#[tokio::test]
async fn markup_in_a_reason_is_json_text_and_not_a_document() {
    let site = Site::new();
    site.failed("order").await;
    let reason = "</script><img src=x onerror=alert(1)>";
    let reply = site.change("order", "release", json!({ "reason": reason })).await;
    assert_eq!(reply.json()["result"], "applied");
    let path = format!("records/{}", site.digits("order"));
    let shown =
        site.send(get(&path).header("accept", "text/html").body(Body::empty()).unwrap()).await;
    assert_eq!(shown.header("content-type"), "application/json");
    assert_eq!(shown.json()["history"][0]["reason"], reason);
}
