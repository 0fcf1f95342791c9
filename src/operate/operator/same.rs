//! Which changes are the same, so that the second one changes nothing.

use crate::record::digest::Framed;
use crate::record::outcome::{NotRetained, StoredBody};
use crate::store::Token;
use crate::store::operator::{Becomes, OperatorAction, RecordInfo, RecordState};

/// Whether an operator has settled the operation without a response and with this status before. A
/// reconciler may report twice, and read the record in between.
pub(super) fn is_settled_so(seen: &RecordInfo, becomes: &Becomes) -> bool {
    let settled = Some(NotRetained::Settled);
    match (seen.state, becomes.ended()) {
        (RecordState::Success { status, not_retained, .. }, Some((_, Some(outcome), _))) => {
            not_retained == settled
                && outcome.body == StoredBody::NotRetained(NotRetained::Settled)
                && outcome.status == status
        }
        _ => false,
    }
}

/// The same change of the same record has the same id. The sender and the number of tries do not
/// count.
pub(super) fn id(seen: &RecordInfo, action: OperatorAction, becomes: &Becomes) -> Token {
    let mut framed = Framed::new("intervention 1");
    framed.field(seen.key.as_bytes());
    framed.field(seen.token.as_bytes());
    framed.field(&seen.attempt.to_be_bytes());
    framed.field(action.word().as_bytes());
    if let Some((_, Some(outcome), _)) = becomes.ended() {
        framed.field(&outcome.encode());
    }
    let digest = framed.finish(None);
    let mut id = [0; 16];
    id.copy_from_slice(&digest.as_bytes()[..16]);
    Token::new(id)
}
