//! What the handler can know of the attempt that it makes.

use crate::key::IdempotencyKey;
use crate::store::Previous;

/// The attempt in force: its key, its number, and what the attempt before it came to.
///
/// The layer puts it into the extensions of every guarded request; with the feature `axum` it is an extractor too.
/// A handler that calls another system passes the key on, and asks that system what became of the attempt before it
/// when there was one:
///
/// ```
/// use http::Request;
/// use tower_idempotency::{Attempt, Previous};
///
/// async fn pay(request: Request<String>) -> String {
///     let Some(attempt) = request.extensions().get::<Attempt>() else {
///         return "this request carries no key".into();
///     };
///     match attempt.previous() {
///         None => format!("charge under {}", attempt.key().as_str()),
///         Some(Previous::Abandoned) => "ask the provider whether it was charged".into(),
///         Some(_) => format!("attempt {}", attempt.number()),
///     }
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Attempt {
    key: IdempotencyKey,
    number: u32,
    previous: Option<Previous>,
}

impl Attempt {
    pub(crate) fn new(key: IdempotencyKey, number: u32, previous: Option<Previous>) -> Self {
        Self { key, number, previous }
    }

    /// The key that the client sent.
    pub fn key(&self) -> &IdempotencyKey {
        &self.key
    }

    /// 1 for the first attempt, then 2, 3, …
    pub fn number(&self) -> u32 {
        self.number
    }

    /// What the attempt before this one came to; `None` for the first.
    pub fn previous(&self) -> Option<Previous> {
        self.previous
    }
}
