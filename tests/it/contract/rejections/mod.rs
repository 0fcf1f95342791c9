//! Every row of the table of rejections: the layer gives it, the clients understand it, and the
//! documentation names it.

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use tower::ServiceExt;
use tower_idempotency::Rejection;

use crate::support::{Row, rejections};

#[cfg(feature = "openapi")]
mod described;
mod documents;
mod produced;

/// A request as the tests send it: over plain HTTP, or over gRPC.
fn request(content_type: &'static str) -> http::request::Builder {
    Request::post("/").header("content-type", content_type)
}

async fn send(app: &Router, request: Request<Body>) -> Response<Body> {
    app.clone().oneshot(request).await.unwrap()
}

/// What a client gets.
struct Got {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
    rejection: Rejection,
}

/// The response of the layer to a request that it rejects in this way.
async fn got(row: &Row, status: u16, content_type: &'static str) -> Got {
    let (head, body) =
        produced::by(&row.variant, status, content_type, |layer| layer).await.1.into_parts();
    let rejection = head.extensions.get::<Rejection>().cloned();
    let rejection = rejection.unwrap_or_else(|| panic!("{}: not rejected: {head:?}", row.variant));
    assert_eq!(rejection.code(), row.code, "{rejection:?}");
    assert!(format!("{rejection:?}").starts_with(&row.variant), "{rejection:?}");
    let body = body.collect().await.unwrap().to_bytes().into();
    Got { status: head.status.as_u16(), headers: head.headers, body, rejection }
}

impl Got {
    #[track_caller]
    fn assert_advice(&self, row: &Row) {
        let code = &row.code;
        assert_eq!(self.headers.contains_key("retry-after"), row.retry_after, "{code}");
        let should_retry = self.headers.get("x-should-retry").map(|value| value.to_str().unwrap());
        assert_eq!(
            should_retry,
            row.should_retry.map(|flag| if flag { "true" } else { "false" }),
            "{code}"
        );
    }
}

#[tokio::test]
async fn the_layer_gives_every_rejection_as_its_row_says() {
    for row in rejections() {
        for status in row.statuses.clone() {
            let got = got(&row, status, "text/plain").await;
            assert_eq!(
                (got.status, got.rejection.status().as_u16()),
                (status, status),
                "{}",
                row.code
            );
            got.assert_advice(&row);
            let problem: serde_json::Value = serde_json::from_slice(&got.body).unwrap();
            assert_eq!(
                (&problem["code"], &problem["title"]),
                (&row.code.clone().into(), &row.title.clone().into())
            );
            assert_eq!(
                (&problem["status"], &problem["type"]),
                (&status.into(), &got.rejection.type_uri().into())
            );
            assert!(got.rejection.type_uri().ends_with(&format!("#variant.{}", row.variant)));
        }
    }
}

#[cfg(feature = "grpc")]
#[tokio::test]
async fn the_layer_gives_every_rejection_over_grpc_as_its_row_says() {
    for row in rejections() {
        let got = got(&row, row.statuses[0], "application/grpc").await;
        let code = got.rejection.grpc_code();
        assert_eq!(format!("{code:?}").to_uppercase(), row.grpc.replace('_', ""), "{}", row.code);
        assert_eq!(
            (got.status, got.headers["grpc-status"].as_bytes()),
            (200, code.number().to_string().as_bytes())
        );
        assert!(got.body.is_empty());
        got.assert_advice(&row);
    }
}

#[cfg(feature = "client")]
#[tokio::test]
async fn the_client_concludes_from_every_rejection_what_its_row_says() {
    use tower_idempotency::client::Reply;

    for row in rejections() {
        for status in row.statuses.clone() {
            let got = got(&row, status, "text/plain").await;
            for is_in_doubt in [false, true] {
                let reply =
                    Reply::new(got.status, &got.headers).body(&got.body).in_doubt(is_in_doubt);
                let concluded = format!("{:?}", reply.disposition()).to_lowercase();
                assert_eq!(concluded, row.disposition, "{}, in doubt: {is_in_doubt}", row.code);
            }
        }
    }
}
