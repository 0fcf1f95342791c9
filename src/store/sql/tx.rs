//! [`Tx`]: the transaction of the attempt, in the handler's hands.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use http::StatusCode;
use sqlx::Database;
use tokio::sync::{OwnedMappedMutexGuard, OwnedMutexGuard};

use crate::store::Lent;

mod claims;
mod error;
// Each database uses a different part of it.
#[cfg_attr(not(all(feature = "postgres", feature = "sqlite")), allow(dead_code))]
mod open;

pub(super) use claims::{Claimed, Claims};
pub use error::TxError;
pub(super) use error::lost;
pub(super) use open::{Lost, Open, Slot};
#[cfg(feature = "postgres")]
pub(super) use {claims::in_flight, open::Mark};

/// The responses that commit the writes of the handler, by default.
pub(super) fn below_400(status: StatusCode) -> bool {
    status.as_u16() < 400
}

/// The open transaction of the attempt, for the handler's business writes. They are committed
/// together with the key and the response, or not at all.
///
/// It is used as sqlx's own `Transaction` is, by `&mut *tx`, savepoints included. The handler does
/// not end it. It is committed if the response is stored as a success below 400, and rolled back if
/// not.
///
/// If a `Tx` is still held when the handler has responded, for example by another task, it cannot
/// be committed. The client then gets 500, and the log says why. The same happens if the handler
/// sends `COMMIT` or `ROLLBACK` itself.
///
/// What the handler sets for the transaction (a role, a search path, timeouts) also applies to the
/// write of the response: see
/// [`guide::exactly_once`](crate::guide::exactly_once#what-a-handler-should-leave-alone).
///
/// With the feature `axum` it is an extractor; elsewhere it comes from
/// [`Attempt::transaction`](crate::Attempt::transaction).
pub struct Tx<DB: Database> {
    open: OwnedMappedMutexGuard<Option<Open<DB>>, Open<DB>>,
}

impl<DB: Database> Deref for Tx<DB> {
    type Target = DB::Connection;

    fn deref(&self) -> &DB::Connection {
        self.open.connection()
    }
}

impl<DB: Database> DerefMut for Tx<DB> {
    fn deref_mut(&mut self) -> &mut DB::Connection {
        self.open.connection_mut()
    }
}

impl<DB: Database> fmt::Debug for Tx<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tx")
    }
}

/// Why there is no transaction for the handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransactionError {
    /// The store is not in transaction mode, or its database is another one.
    NotInTransactionMode,
    /// The request has no key, so the layer has passed it through.
    NoKey,
    /// No layer guards the request.
    NoLayer,
    /// The attempt has ended.
    Ended,
    /// Another part of the handler has it.
    Taken,
}

impl fmt::Display for TransactionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotInTransactionMode => {
                "the attempt does not run in a transaction of this database: give the layer \
                 `store.in_transaction()` of the database that `Tx` names"
            }
            Self::NoKey => {
                "the request has no idempotency key, so it has no transaction: call `require_key` \
                 on the layer"
            }
            Self::NoLayer => {
                "no idempotency layer guards this request: add it by `route_layer`, which covers \
                 only the routes that were added before it, or add the method by \
                 `IdempotencyLayer::methods`"
            }
            Self::Ended => "the attempt has ended, and its transaction with it",
            Self::Taken => "the transaction of the attempt is taken, and was not given back",
        })
    }
}

impl std::error::Error for TransactionError {}

impl Lent {
    /// Takes the transaction until the guard is dropped.
    pub(crate) fn take<DB: Database>(&self) -> Result<Tx<DB>, TransactionError> {
        let open = self.open().ok_or(TransactionError::Ended)?;
        let slot = open.held::<Slot<DB>>().ok_or(TransactionError::NotInTransactionMode)?;
        let guard =
            Arc::clone(slot.open()).try_lock_owned().map_err(|_| TransactionError::Taken)?;
        match OwnedMutexGuard::try_map(guard, Option::as_mut) {
            Ok(open) => Ok(Tx { open }),
            Err(_) => Err(TransactionError::Ended),
        }
    }
}
