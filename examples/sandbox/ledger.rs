//! The ledger: every effect, the evidence of what really happened.

use std::future::Future;

use axum::response::Response;
use serde::{Deserialize, Serialize};
use tower_idempotency::Attempt;

pub(crate) mod lines;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;

/// Something that cannot be taken back, in place of a charge.
#[derive(Serialize, Deserialize)]
pub(crate) struct Effect {
    pub(crate) key: Option<String>,
    pub(crate) scope: String,
    pub(crate) attempt: u32,
    pub(crate) id: String,
    /// Milliseconds since 1970.
    pub(crate) at: u64,
    /// What was paid, and to whom.
    #[serde(skip)]
    pub(crate) terms: Terms,
}

/// The part of a payment that people look for in a ledger.
#[derive(Clone, Serialize, Default)]
pub(crate) struct Terms {
    pub(crate) amount: u64,
    pub(crate) currency: String,
    pub(crate) to: String,
    /// The number of the client's order, if the body names one: a ledger without keys is searched
    /// by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) order: Option<String>,
}

/// Where effects are written. What goes wrong is the answer to the client.
pub(crate) trait Ledger: Send + Sync + 'static {
    /// Writes an effect: into the transaction of the attempt, if it runs in one.
    fn append(
        &self,
        effect: &Effect,
        attempt: Option<&Attempt>,
    ) -> impl Future<Output = Result<(), Response>> + Send;

    /// Reads every effect, those of other processes included.
    fn effects(&self) -> impl Future<Output = Result<Vec<Effect>, Response>> + Send;
}

/// A number as a column has it, and back; one that does not fit is none that was written.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
fn number<From, To: TryFrom<From> + Default>(number: From) -> To {
    To::try_from(number).unwrap_or_default()
}
