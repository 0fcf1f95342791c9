//! The page at `/`: a form for payments, with a client that stores its keys. No part of the page
//! comes from another host.

use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use crate::args::{Args, Profile};

/// Routes without a guard, because they have no effects.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(args: &Args) -> Router<S> {
    let settings = Settings::new(args);
    let serve = |routes: Router<S>, file: &'static File| {
        routes.route(file.path, get(move || async { file.response() }))
    };
    FILES.iter().fold(Router::new(), serve).route(
        "/settings",
        get(move || async move { (NOT_STORED, Json(settings)).into_response() }),
    )
}

/// The settings that the page needs to create a client for this server.
#[derive(Clone, Copy, Serialize)]
struct Settings {
    profile: Profile,
    /// The largest response that is stored, in bytes.
    max_response: usize,
    retention_ms: u128,
    docs: &'static str,
}

impl Settings {
    fn new(args: &Args) -> Self {
        Self {
            profile: args.profile,
            max_response: args.max_response,
            retention_ms: args.retention.as_millis(),
            docs: "https://docs.rs/tower-idempotency",
        }
    }
}

/// Not cached, because the next sandbox on this address may have other settings.
const NOT_STORED: [(HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];

/// The path and the content type of each file.
pub(crate) fn files() -> impl Iterator<Item = (&'static str, &'static str)> {
    FILES.iter().map(|file| (file.path, file.content_type))
}

/// The headers of a file, besides its content type.
pub(crate) fn headers() -> impl Iterator<Item = HeaderName> {
    HEADERS.into_iter().map(|(name, _)| name)
}

/// A file of the page, from the build of the sandbox.
struct File {
    path: &'static str,
    content_type: &'static str,
    text: &'static str,
}

impl File {
    const fn script(path: &'static str, text: &'static str) -> Self {
        Self { path, content_type: "text/javascript; charset=utf-8", text }
    }
}

static FILES: [File; 16] = [
    File {
        path: "/",
        content_type: "text/html; charset=utf-8",
        text: include_str!("page/index.html"),
    },
    File {
        path: "/page.css",
        content_type: "text/css; charset=utf-8",
        text: include_str!("page/page.css"),
    },
    File::script("/page.js", include_str!("page/page.js")),
    File::script("/page/calls.js", include_str!("page/calls.js")),
    File::script("/page/client.js", include_str!("page/client.js")),
    File::script("/page/curious.js", include_str!("page/curious.js")),
    File::script("/page/ledger.js", include_str!("page/ledger.js")),
    File::script("/page/meaning.js", include_str!("page/meaning.js")),
    File::script("/page/naive.js", include_str!("page/naive.js")),
    File::script("/page/network.js", include_str!("page/network.js")),
    File::script("/page/orders.js", include_str!("page/orders.js")),
    File::script("/page/results.js", include_str!("page/results.js")),
    File::script("/page/tables.js", include_str!("page/tables.js")),
    File::script("/page/view.js", include_str!("page/view.js")),
    File::script("/page/words.js", include_str!("page/words.js")),
    // Bundled from `sdk/typescript` by `npm run bundle`.
    File::script("/tower-idempotency.js", include_str!("page/tower-idempotency.js")),
];

/// The page may run its own scripts and contact this server, and nothing else. A ledger may contain
/// foreign text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 4] = [
    // Revalidated, because the next sandbox on this address may have other files.
    (header::CACHE_CONTROL, "no-cache"),
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
];

impl File {
    fn response(&self) -> Response {
        ([(header::CONTENT_TYPE, self.content_type)], HEADERS, self.text).into_response()
    }
}
