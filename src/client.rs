//! The client side: a key that stays the same until the operation is settled.
//!
//! A server that checks keys needs a client that retries under the same key:
//!
//! - [`ClientLayer`] gives outgoing requests a key, and retries them under it. It goes around any
//!   Tower client over `http`, for example that of hyper-util. With the feature `client-reqwest` it
//!   is also a middleware of reqwest-middleware.
//! - [`Operations`] are for what must survive a restart of the client. The key is stored before the
//!   first attempt, and dropped when the application has written the outcome down.
//! - [`derive_key`] makes a key from the operation itself, the same as the SDK for TypeScript.
//! - [`Reported`] gets the [`Report`] of any result, a response or an error: what it means, the
//!   status of the operation's response, whether the operation is in doubt, the key, and the number
//!   of attempts.
//!
//! # Which one to use
//!
//! | the client | takes |
//! |---|---|
//! | may forget the operation when its process dies: the user sees an error and looks | [`ClientLayer`] alone |
//! | has a job, a message or a row for each operation, and runs it again after a crash | [`Operations`] over [`FileKeyStore`], or over a table of its own database |
//! | has the same, and an identifier that never changes | that as the key, or [`derive_key`] with [`TimeWindow::ALWAYS`] |
//!
//! # What a disposition means to the application
//!
//! | disposition | what happened | what to do |
//! |---|---|---|
//! | [`Final`](Disposition::Final) | The operation is over. If [`Report::status`] is 2xx, the server did it. Any other status rejects it. | A success: store it, then [`finish`](Operation::finish). A rejection: finish first, and store it only if that returns `true`. |
//! | [`Retry`](Disposition::Retry) | The server asks for a retry, and there is no time, attempt or budget left. | Send the same request later, under the same key. |
//! | [`Unknown`](Disposition::Unknown), [in doubt](Report::is_in_doubt) | It may have happened. | Send the same request later, under the same key; or look it up, then [`forget`](Operation::forget). |
//! | [`Unknown`](Disposition::Unknown), not in doubt | Nothing happened: 400, 401, 422 and others, or the request was not sent. | Mend the request, or log in. Then go on under the same key. |
//!
//! Each error is unknown. [`Report::status`] is the status of the response, except for a 409 with
//! the code `idempotency_result_not_retained`. The server did or rejected that operation earlier,
//! and did not store its response. `original_status` in the body says how it ended, and that is the
//! status of the report.
//!
//! [`Reply::disposition`] has the rules in one table, and `tests/vectors/dispositions.json` has its
//! rows, which the SDK for TypeScript reads too.
//!
//! The history of a key counts. An attempt that ended without a response, or with a 5xx, may have
//! had an effect: the operation is **in doubt**. A 404 after it may come from a load balancer. So
//! while the operation is in doubt, only three responses are final: a 2xx that was not redirected,
//! a replay, and a 409 with the code `idempotency_result_not_retained`. A key is in doubt from the
//! start if the layer does not know its history: it was stored by an earlier process, came in a
//! header, or was not made by the layer.
//!
//! # Named operations
//!
//! [`Operations::begin`] gives a name its key. The name keeps the key after a final response too:
//! the same name sends the same key, and the server replays its response. Only
//! [`Operation::finish`] drops it, if the last attempt was final, and [`Operation::forget`] drops
//! it whatever the outcome. A process that dies before it has stored the outcome gets the response
//! again.
//!
//! After a restart, `finish` returns `true` only for a success or a replay. A rejection that is not
//! a replay is certain only in the process that got it, so finish it there. Otherwise send the
//! request again, or look the operation up and forget it.
//!
//! A name that never means a new operation, such as `pay order 4711`, needs no `finish` after a
//! success. Its key stays until [`Operations::forget`], and after the retention
//! [`Operations::begin`] is an error.
//!
//! To settle what an earlier process left behind, begin each of [`Operations::pending`] by its name
//! (`operations.begin(stored.operation)`), and send the same request. It is built from your own
//! data, because the stored key has only the name.
//!
//! # Profiles
//!
//! [`ClientLayer::profile`] sets what kind of server it is: header, form of the key, methods, and
//! the responses that the server stores. With [`Profile::Ietf`] and [`Profile::Stripe`] the server
//! stores most 4xx. A stored 422 is final, so call `finish` and send the mended request under a new
//! key. Sent under the old key, the mended request is rejected (`idempotency_key_reused`), which is
//! unknown. Then send the first request again to see its response, and `finish`.
//!
//! A server that does not understand the key as it is sent leads to an error of the kind
//! [`KeyNotUnderstood`](ErrorKind::KeyNotUnderstood), which names the profile to set.
//!
//! # Redirects
//!
//! The end of a redirect is never taken for the outcome, because a login page says 200 too. The
//! layer does not follow redirects itself. A client below it that does so must say so:
//!
//! | the client | needs |
//! |---|---|
//! | reqwest | `observed_redirects` as its redirect policy, or `Policy::none()` |
//! | a Tower stack with `FollowRedirect` of tower-http | [`MarkRedirects`] inside it |
//! | another one that follows redirects | the extension [`Redirected`] in the response |
//!
//! # What is not promised
//!
//! The key makes the server do the operation once for as long as it remembers the key: 24 hours by
//! default. A retry after that is a new operation, so the client does not send a key that is older
//! ([`ClientLayer::retention`], [`Operations::retention`]). It looks at the wall clock before each
//! attempt. A key that comes in a header is dated by its call.
//!
//! A server that does not know keys does an operation once for each attempt, and its responses do
//! not say so. Send keys only to servers that check them.
//!
//! Redirects that the layer cannot see look like a plain response.
//!
//! gRPC is judged by its HTTP status, which is 200 for its failures too. Retry those by what a gRPC
//! client says.

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
