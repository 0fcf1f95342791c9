//! The client side: a key that stays the same until the answer is certain.
//!
//! A server that knows keys helps nobody whose client makes a new one for each retry. This is the other half:
//!
//! - [`ClientLayer`] gives outgoing requests a key, and repeats them under it, as often as is safe and as long as it makes sense. It goes around
//!   any Tower client over `http`, hyper-util's for example, or, with the feature `client-reqwest`, into reqwest as a middleware of
//!   reqwest-middleware.
//! - [`Operations`] are for what must survive a restart of the client: the key is kept before the first attempt, and dropped when the
//!   application has written down the answer.
//! - [`derive_key`] makes keys that follow from what they stand for, the same as the SDK for TypeScript.
//!
//! What an answer means is one pure function, [`Disposition::of`], in one table. It knows this crate's server side; of
//! others it knows what they share with it: the statuses, `Retry-After`, `X-Should-Retry`, and the markers of replays.
//!
//! # Which one to use
//!
//! | the client | takes |
//! |---|---|
//! | may forget the operation when its process dies: the user sees an error and looks | [`ClientLayer`] alone |
//! | has a job, a message or a row for each operation, and runs it again after a crash | [`Operations`] over [`FileKeyStore`] or over a table of its own |
//! | has the same, and an identifier that never changes | that as the key, or [`derive_key`] with [`TimeWindow::ALWAYS`] |
//!
//! # What is not promised
//!
//! The key makes the server do the operation once for as long as it remembers the key: 24 hours by default. A repeat
//! after that is a new operation, which is why [`Operations::begin`] refuses keys that are older. A server that knows no
//! keys does an operation as often as it is asked, and nothing in its answers says so: send keys to servers that promise
//! to heed them.
//!
//! gRPC is judged by its HTTP status, which is 200 for its failures too: repeat those by what its own client says.

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
