//! The result of a look for a record.

use bytes::Bytes;

use super::frame::{self, Stored};
use crate::store::{State, StoreError, StoreErrorKind};

/// The record under a name, and its remaining time in milliseconds.
pub(super) struct Lookup {
    pub(super) frame: Option<Vec<u8>>,
    pub(super) left: i64,
}

impl Lookup {
    /// Reads the record, if there is one, and tells by its age whether it is abandoned.
    pub(super) fn judge(self) -> Result<Option<Stored>, StoreError> {
        let Some(frame) = self.frame else {
            return Ok(None);
        };
        let mut found = read(frame)?;
        if let (State::Pending { abandoned }, Some(pending)) =
            (&mut found.record.state, found.pending)
        {
            *abandoned = usize::try_from(self.left).is_ok_and(|left| left <= pending.lapsed_at());
        }
        Ok(Some(found))
    }
}

/// Reads a record whose age is not known.
pub(super) fn read(frame: Vec<u8>) -> Result<Stored, StoreError> {
    frame::decode(Bytes::from(frame))
        .map_err(|malformed| StoreError::with_source(StoreErrorKind::Corrupt, malformed))
}
