//! The page at `/`: a form to pay with, on a client that keeps its keys. Nothing on it comes from another host.

use axum::Router;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// Routes without a guard: they do nothing that could be done twice.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let serve = |routes: Router<S>, file: &'static File| {
        routes.route(file.path, get(move || async { file.answer() }))
    };
    FILES.iter().fold(Router::new(), serve)
}

/// A file of the page, as it was when the sandbox was built.
struct File {
    path: &'static str,
    content_type: &'static str,
    text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

static FILES: [File; 8] = [
    File { path: "/", content_type: HTML, text: include_str!("page/index.html") },
    File { path: "/page.css", content_type: CSS, text: include_str!("page/page.css") },
    File { path: "/page.js", content_type: JAVASCRIPT, text: include_str!("page/page.js") },
    File { path: "/page/network.js", content_type: JAVASCRIPT, text: include_str!("page/network.js") },
    File { path: "/page/orders.js", content_type: JAVASCRIPT, text: include_str!("page/orders.js") },
    File { path: "/page/view.js", content_type: JAVASCRIPT, text: include_str!("page/view.js") },
    File { path: "/page/words.js", content_type: JAVASCRIPT, text: include_str!("page/words.js") },
    // Bundled from `sdk/typescript` by `npm run bundle`.
    File {
        path: "/tower-idempotency.js",
        content_type: JAVASCRIPT,
        text: include_str!("page/tower-idempotency.js"),
    },
];

/// The page runs its own scripts, talks to this server, and may do nothing else, whatever a ledger brings along.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 4] = [
    // The next sandbox on this address may have other files.
    (header::CACHE_CONTROL, "no-cache"),
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
];

impl File {
    fn answer(&self) -> Response {
        ([(header::CONTENT_TYPE, self.content_type)], HEADERS, self.text).into_response()
    }
}
