//! The client side: a key that stays the same until the operation is settled.
//!
//! A server that checks keys needs a client that retries under the same key:
//!
//! - [`ClientLayer`] gives outgoing requests a key, and retries them under it. It wraps any Tower
//!   client over `http`, for example that of hyper-util. With the feature `client-reqwest` it is
//!   also a middleware of reqwest-middleware.
//! - [`Operations`] are for operations that must survive a restart of the client. They store the
//!   key before the first attempt. They remove it when the application has stored the outcome.
//! - [`derive_key`] makes a key from the operation itself, the same as the SDK for TypeScript.
//! - [`Reported`] gets the [`Report`] of any result, a response or an error. It contains the
//!   disposition, the status of the operation's response, whether the operation is in doubt, the
//!   key, and the number of attempts.
//!
//! # Which one to use
//!
//! | the client | use |
//! |---|---|
//! | may forget the operation when its process dies, because a user sees the error and checks | [`ClientLayer`] alone |
//! | has a job, a message or a row for each operation, and runs it again after a crash | [`Operations`] over [`FileKeyStore`], or over a table of its own database |
//! | has the same, and an identifier that never changes | that identifier as the key, or [`derive_key`] with [`TimeWindow::ALWAYS`] |
//!
//! # What a disposition means to the application
//!
//! | disposition | what happened | what to do |
//! |---|---|---|
//! | [`Final`](Disposition::Final) | The operation is over. If [`Report::status`] is 2xx, the server did it. Any other status rejects it. | A success: store it, then [`finish`](Operation::finish). A rejection: finish first, and store it only if that returns `true`. |
//! | [`Retry`](Disposition::Retry) | The server asks for a retry, and there is no time, attempt or budget left. | Send the same request later, under the same key. |
//! | [`Unknown`](Disposition::Unknown), [in doubt](Report::is_in_doubt) | It may have happened. | Send the same request later, under the same key; or look it up, then [`forget`](Operation::forget). |
//! | [`Unknown`](Disposition::Unknown), not in doubt | Nothing happened: 400, 401, 422 and others, or the request was not sent. | Correct the request, or log in. Then continue under the same key. |
//!
//! Every error has the disposition unknown.
//!
//! [`Report::status`] is the status of the response, except for a 409 with the code
//! `idempotency_result_not_retained`. The server did or rejected that operation earlier, and did
//! not store its response. The status of the report is then `original_status` from the body, which
//! says how the operation ended.
//!
//! [`Reply::disposition`] has the rules in one table, and `tests/vectors/dispositions.json` has its
//! rows, which the SDK for TypeScript reads too.
//!
//! The history of a key counts. An attempt that ended without a response, or with a 5xx, may have
//! had an effect. The operation is then **in doubt**, and a later 404 may come from a load
//! balancer. While the operation is in doubt, only these responses are final:
//!
//! - a 2xx that was not redirected,
//! - a replay,
//! - a 409 with the code `idempotency_result_not_retained`.
//!
//! A key is in doubt from the start if the layer does not know its history. This is so if an
//! earlier process stored the key, if it came in a header, or if the layer did not make it.
//!
//! # Named operations
//!
//! [`Operations::begin`] gives a name its key. The key stays after a final response too: the same
//! name sends the same key, and the server replays its response. Only two calls remove the key:
//! [`Operation::finish`] if the last attempt was final, and [`Operation::forget`] whatever the
//! outcome. If the process dies before it has stored the outcome, it gets the response again.
//!
//! After a restart, `finish` returns `true` only for a success or a replay. A rejection that is not
//! a replay is certain only in the process that got it, so finish it there. Otherwise send the
//! request again, or look the operation up and forget it.
//!
//! A name that never means a new operation, such as `pay order 4711`, needs no `finish` after a
//! success. Its key stays until [`Operations::forget`]. After the retention, [`Operations::begin`]
//! returns an error.
//!
//! To settle the operations of an earlier process, begin each of [`Operations::pending`] by its
//! name (`operations.begin(stored.operation)`), and send the same request. Build the request from
//! your own data, because the stored key contains only the name.
//!
//! # Profiles
//!
//! [`ClientLayer::profile`] sets the kind of the server: header, form of the key, methods, and the
//! responses that the server stores.
//!
//! With [`Profile::Ietf`] and [`Profile::Stripe`] the server stores most 4xx. A stored 422 is
//! final, so call `finish` and send the corrected request under a new key. Under the old key, the
//! server rejects it (`idempotency_key_reused`), which is unknown. Then send the first request
//! again to see its response, and call `finish`.
//!
//! If the server does not understand the key as it is sent, the result is an error of the kind
//! [`KeyNotUnderstood`](ErrorKind::KeyNotUnderstood). It names the profile to set.
//!
//! # Redirects
//!
//! The response at the end of a redirect is never the outcome, because a login page has the status
//! 200 too. The layer does not follow redirects itself. An inner client that follows them must mark
//! them:
//!
//! | the client | needs |
//! |---|---|
//! | reqwest | `observed_redirects` as its redirect policy, or `Policy::none()` |
//! | a Tower stack with `FollowRedirect` of tower-http | [`MarkRedirects`] inside it |
//! | another one that follows redirects | the extension [`Redirected`] in the response |
//!
//! # What is not promised
//!
//! The server does the operation once for as long as it remembers the key: 24 hours by default. A
//! retry after that is a new operation, so the client does not send an older key
//! ([`ClientLayer::retention`], [`Operations::retention`]). It checks the age by the wall clock
//! before each attempt. The age of a key in a header counts from the call.
//!
//! A server that does not check keys does an operation once for each attempt, and its responses do
//! not show it. Send keys only to servers that check them.
//!
//! A redirect that the layer cannot see looks like an ordinary response.
//!
//! The layer judges gRPC by its HTTP status, which is 200 for failures too. Retry those by the
//! status that a gRPC client returns.

mod age;
mod attempt;
mod backoff;
mod derive;
mod disposition;
mod error;
mod history;
mod key_store;
mod layer;
mod operation;
mod policy;
mod profile;
mod redirects;
mod report;
#[cfg(feature = "client-reqwest")]
mod reqwest;
mod retry_after;
mod service;
mod settings;

pub use derive::{TimeWindow, derive_key};
pub use disposition::{Disposition, Reply};
pub use error::{Error, ErrorKind};
pub use key_store::{FileKeyStore, KeyStore, MemoryKeyStore, StoredKey};
pub use layer::ClientLayer;
pub use operation::{Operation, OperationError, Operations};
pub use profile::Profile;
pub use redirects::{MarkRedirects, MarkedFuture, MarkedRedirects, Redirected};
pub use report::{Report, Reported};
#[cfg(feature = "client-reqwest")]
pub use reqwest::observed_redirects;
pub use service::{Client, ClientFuture};
