//! Routes for the people who operate the service: find stuck records and settle them, as JSON and
//! on one page.
//!
//! ```
//! use axum::Router;
//! use axum::routing::post;
//! use tower_idempotency::admin::Admin;
//! use tower_idempotency::{IdempotencyLayer, MemoryStore, Scope};
//!
//! # async fn pay() {}
//! /// The authentication of the company inserts it into the extensions of the request.
//! #[derive(Clone)]
//! struct Employee(String);
//!
//! let layer = IdempotencyLayer::new(MemoryStore::new())
//!     .namespace("payments")
//!     .scope(|_| Scope::anonymous())
//!     // With it, operators see the route and the scope of a record.
//!     .label_records();
//!
//! // Who may settle records. Everyone else is rejected, and nothing is read or written.
//! let admin = Admin::new(&layer, |parts| Some(parts.extensions.get::<Employee>()?.0.clone()))
//!     .host("ops.example.com");
//! // For a listener of its own, which clients cannot reach.
//! let internal: Router = Router::new().nest("/idempotency", admin.router());
//!
//! let public: Router = Router::new().route("/payments", post(pay)).route_layer(layer);
//! ```
//!
//! The routes bind nowhere by themselves. They need an authentication outside of them: the function
//! that names the operator reads what the authentication has verified. The name is stored with each
//! change.
//!
//! # Routes
//!
//! | route | does |
//! |---|---|
//! | `GET /` | the page |
//! | `GET /records` | a page of records, without their responses |
//! | `GET /records/{digits}` | one record and its history; fewer than 64 digits must be unique |
//! | `POST /records/{digits}/release` | nothing happened: the key is free, and the next request runs the operation |
//! | `POST /records/{digits}/settle` | stores what the operator knows |
//! | `POST /records/{digits}/erase` | deletes the record |
//! | `GET /stats` | counts by state |
//!
//! The parameters of `GET /records` are all optional:
//!
//! | parameter | value |
//! |---|---|
//! | `state` | a [`StateFilter`](crate::store::operator::StateFilter) in its word, for example `stuck` |
//! | `older_than_seconds` | the shortest time since the last change |
//! | `route`, `namespace` | those of the label, whole |
//! | `scope` | the 32 digits of its digest |
//! | `digits` | the first digits of the key, as logs show them |
//! | `order` | `oldest` (default) or `newest` |
//! | `limit` | 1 to 1000, default 100 |
//! | `after` | the `next` of the page before |
//!
//! # Shapes
//!
//! A page is `{"records": […], "next": …, "progress": {"read", "of"}}`. `next` is `null` on the
//! last page. A page may have few records or none, and still a `next`. A record is:
//!
//! ```json
//! {
//!   "key": "9f2c…", "state": "abandoned", "in_doubt": true,
//!   "attempt": 1, "token": "0b1d…",
//!   "namespace": "payments", "route": "POST /payments", "scope": "77aa…",
//!   "reserved_seconds_ago": 912.4, "changed_seconds_ago": 902.1, "expires_in_seconds": 85487.6,
//!   "status": null, "not_retained": null, "packed": false, "bytes": 0
//! }
//! ```
//!
//! `state` is `in-flight`, `abandoned`, `failed`, `success` or `not-retained`. What the store does
//! not know is `null`. `bytes` is the size of the stored response. The response itself is never
//! shown.
//!
//! `GET /records/{digits}` is `{"record", "response_headers", "unreadable", "history"}`.
//! `response_headers` is their number. `unreadable` is `decrypt` or `corrupt` if the layer cannot
//! read the response. An entry of the history is `{"id", "at_unix_seconds", "action", "by",
//! "reason", "was", "attempt"}`. The history stays longer than the record, which is `null` then.
//!
//! `GET /stats` is `{"operator", "states", "next", "progress"}`. For each state and for `in-doubt`,
//! `states` has `{"count", "bytes", "oldest_changed_seconds_ago"}`. The route reads for about a
//! second. If `next` is not `null`, ask again with `?after=…`, and add up the parts.
//!
//! # Changes
//!
//! A change has the version of the record that the operator saw, and a reason:
//!
//! ```json
//! {
//!   "seen": {"attempt": 1, "token": "0b1d…", "state": "abandoned"},
//!   "reason": "the provider confirms the charge",
//!   "even_in_flight": false,
//!   "response": {"status": 201, "headers": {"content-type": "application/json"}, "text": "{}"}
//! }
//! ```
//!
//! A settlement has exactly one of these members:
//!
//! - `response`: it was done, and clients get this response from now on. The body is `text` or
//!   `base64`, and a header may have a list of values. The layer replays the headers that it would
//!   have stored itself.
//! - `failed`: it failed, for example `{"status": 502}` or `{}`.
//! - `done`: it was done, and there is no response for clients, for example `{"status": 201}`.
//!
//! The result is `{"result", "detail"}` with `applied`, or `already-applied` if the same change was
//! made before. So a change whose response was lost can be sent again.
//!
//! # Problems
//!
//! Every rejection is `application/problem+json`. Programs act on `code`.
//!
//! | code | status | |
//! |---|---|---|
//! | `admin_host_not_allowed` | 403 | see [`host`](Admin::host) |
//! | `admin_cross_site` | 403 | a page of another site has sent the request |
//! | `admin_operator_unknown` | 403, or 401 with a [`challenge`](Admin::challenge) | |
//! | `admin_operator_invalid` | 403 | the name is empty, longer than 128 bytes, or has control characters |
//! | `admin_not_json` | 415 | a change is sent as `application/json` |
//! | `admin_request_invalid` | 400 | |
//! | `admin_request_too_large` | 413 | a change has at most 4 MiB |
//! | `admin_change_invalid` | 422 | |
//! | `admin_method_not_allowed` | 405 | |
//! | `admin_record_unknown` | 404 | |
//! | `admin_digits_ambiguous` | 409 | `records` has some that begin with these digits |
//! | `admin_search_unfinished` | 503 | too many records: give all 64 digits |
//! | `admin_record_moved` | 409 | `record` is the record as it is now, or `null` |
//! | `admin_record_in_flight` | 409 | an attempt runs, and `even_in_flight` is not set |
//! | `admin_record_has_response` | 409 | clients get the response of the operation |
//! | `admin_response_unreadable` | 409 | the response cannot be read with the keys of the layer, and `even_unreadable` is not set |
//! | `admin_store_failed` | 503 | after a change: send it again |
//! | `admin_store_rejected`, `admin_store_unsupported` | 422, 501 | |
//!
//! # Other sites
//!
//! A browser may send credentials along with requests that another site has made. So the routes
//!
//! - take a change only as `application/json`, and only from their own origin, or from a program
//!   that is not a browser;
//! - take a read from another site only if a person follows a link;
//! - respond only at addresses, `localhost`, and the names that [`host`](Admin::host) has;
//! - set no cookie and no CORS header. Put no CORS layer around them.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use http::HeaderValue;
use http::request::Parts;

use crate::layer::IdempotencyLayer;
use crate::store::Store;

mod change;
mod guard;
mod page;
mod problem;
mod query;
mod routes;
mod shape;
mod site;
mod state;

use routes::Action;
use site::Site;
use state::{State, Who};

/// The most bytes of a change.
const LARGEST: usize = 4 << 20;

/// Makes the routes for operators: see the [module](self).
pub struct Admin<St> {
    layer: IdempotencyLayer<St>,
    who: Arc<Who>,
    site: Site,
    challenge: Option<HeaderValue>,
}

impl<St: Store> Admin<St> {
    /// Makes routes over the store of a layer. It uses the namespace, the
    /// secret and the encryption of the layer.
    ///
    /// `who` names the operator that has sent a request. `None`: the request is rejected, and
    /// nothing is read or written. It should read what an authentication outside of the routes has
    /// verified.
    ///
    /// **A function that names an operator for each request opens the routes to everyone who can
    /// reach them.**
    pub fn new(
        layer: &IdempotencyLayer<St>,
        who: impl Fn(&Parts) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let (layer, who) = (layer.clone(), Arc::new(who));
        Self { layer, who, site: Site::default(), challenge: None }
    }

    /// Adds a host under which the routes are reached, with its port unless that is the default
    /// one. Default: addresses and `localhost`.
    ///
    /// Another site can let its own name point to the address of this server. For the browser of an
    /// operator, the page of that site is then of the same origin. So a request to any other host
    /// gets 403. Behind a proxy, name the host that the browser shows, and the one that the proxy
    /// sends if that is a name too.
    #[must_use]
    pub fn host(mut self, host: impl AsRef<str>) -> Self {
        self.site.add(host.as_ref());
        self
    }

    /// Sets the `WWW-Authenticate` of a request without an operator, which then gets 401. A browser
    /// asks for name and password at `Basic realm="operators"`. Default: none, and 403.
    #[must_use]
    pub fn challenge(self, challenge: HeaderValue) -> Self {
        Self { challenge: Some(challenge), ..self }
    }

    /// Makes the router. Nest it where you want: its page uses relative addresses. Under
    /// `nest("/idempotency", …)` the page is at `/idempotency`, and not at `/idempotency/`.
    pub fn router<S: Clone + Send + Sync + 'static>(self) -> Router<S> {
        let Self { layer, who, site, challenge } = self;
        let state = Arc::new(State { layer, who, challenge, site });
        let change = |action| {
            post(move |state, name, path, body| {
                routes::change::<St>(action, state, name, path, body)
            })
        };
        Router::new()
            .route("/", get(page::page))
            .route("/stats", get(routes::stats::<St>))
            .route("/records", get(routes::list::<St>))
            .route("/records/{digits}", get(routes::show::<St>))
            .route("/records/{digits}/release", change(Action::Release))
            .route("/records/{digits}/settle", change(Action::Settle))
            .route("/records/{digits}/erase", change(Action::Erase))
            .method_not_allowed_fallback(routes::wrong_method)
            .layer(DefaultBodyLimit::max(LARGEST))
            .layer(from_fn_with_state(Arc::clone(&state), guard::guard::<St>))
            .with_state(state)
    }
}

impl<St> fmt::Debug for Admin<St> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}
