//! The ledger: all effects, as evidence of what really happened.

use std::future::Future;

use axum::response::Response;
use serde::{Deserialize, Serialize};
use tower_idempotency::Attempt;

pub(crate) mod lines;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;

/// An irreversible effect, in place of a charge.
#[derive(Serialize, Deserialize)]
pub(crate) struct Effect {
    pub(crate) key: Option<String>,
    pub(crate) scope: String,
    pub(crate) attempt: u32,
    pub(crate) id: String,
    /// Milliseconds since 1970.
    pub(crate) at: u64,
    /// The amount and the recipient of the payment.
    #[serde(skip)]
    pub(crate) terms: Terms,
}

/// The fields of a payment that people search for in a ledger.
#[derive(Clone, Serialize, Default)]
pub(crate) struct Terms {
    pub(crate) amount: u64,
    pub(crate) currency: String,
    pub(crate) to: String,
    /// The number of the client's order, if the body contains one. People search a ledger without
    /// keys by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) order: Option<String>,
}

/// The place where effects are written. An error is the response to the client.
pub(crate) trait Ledger: Send + Sync + 'static {
    /// Writes an effect. If the attempt runs in a transaction, it writes in that transaction.
    fn append(
        &self,
        effect: &Effect,
        attempt: Option<&Attempt>,
    ) -> impl Future<Output = Result<(), Response>> + Send;

    /// Reads all effects, including those of other processes.
    fn effects(&self) -> impl Future<Output = Result<Vec<Effect>, Response>> + Send;
}

/// Converts a number to the type of a column and back. A number that was written always fits.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
fn number<From, To: TryFrom<From> + Default>(number: From) -> To {
    To::try_from(number).unwrap_or_default()
}
