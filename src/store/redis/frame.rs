//! The binary frame of a [`Record`], which Redis stores as one value.
//!
//! Version, status and token come first and at fixed places, so that a script can compare all three
//! without reading the rest:
//!
//! ```text
//! version:u8  status:u8  token:16  fingerprint:33  attempt:u32be  rest
//! rest of a pending record           lease and retention in milliseconds, LEB128; fields?
//! rest of a success or failed record fields?  the frame of the outcome, if there was a response
//! fields                             0, then as in `Writer::fields`
//! ```
//!
//! A lease of 0 belongs to an abandoned record that a later attempt took over and put back.
//!
//! The record grows as the frame of the outcome does: a new field gets a tag. A version of the
//! crate that does not know a field writes its own records without it.

use bytes::Bytes;

use crate::record::fingerprint::Fingerprint;
use crate::record::frame::{DecodeError, Reader, Writer};
use crate::record::outcome::Outcome;
use crate::store::{Lease, Record, RecordStatus, State, Token, millis};

const VERSION: u8 = 1;

/// How many bytes hold version, status and token.
pub(super) const HEAD: usize = 18;
/// How many bytes come before the rest.
pub(super) const START: usize = HEAD + Fingerprint::LEN + 4;

/// The contents of a stored frame, and the values needed to judge them.
pub(super) struct Stored {
    /// A pending record is read as not abandoned, because that depends on its age.
    pub(super) record: Record,
    /// The bytes that change when the record is taken over, put back or settled: all of a pending
    /// record, and [`START`] of another one.
    pub(super) identity: Bytes,
    /// Of a pending record: how long it lives, and how much of that its lease takes.
    pub(super) pending: Option<Pending>,
    /// How many bytes of the body are stored apart.
    pub(super) missing: usize,
}

/// Times in milliseconds.
#[derive(Clone, Copy)]
pub(super) struct Pending {
    lease: usize,
    retention: usize,
}

impl Pending {
    pub(super) fn running(lease: &Lease) -> Self {
        Self { lease: millis(lease.lease), retention: millis(lease.retention) }
    }

    /// The lease has lapsed already; the retention begins.
    pub(super) fn abandoned(lease: &Lease) -> Self {
        Self { lease: 0, ..Self::running(lease) }
    }

    /// The remaining time in milliseconds at which the lease has lapsed.
    pub(super) fn lapsed_at(self) -> usize {
        self.retention.saturating_sub(self.lease)
    }
}

/// Version, status and token, as the frame begins with them.
pub(super) fn head(status: RecordStatus, token: &Token) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[0] = VERSION;
    head[1] = match status {
        RecordStatus::Pending => b'P',
        RecordStatus::Success => b'S',
        RecordStatus::Failed => b'F',
    };
    head[2..].copy_from_slice(token.as_bytes());
    head
}

pub(super) fn encode_pending(lease: &Lease, pending: Pending) -> Vec<u8> {
    let mut frame = start(RecordStatus::Pending, lease, 20);
    let mut writer = Writer::new(&mut frame);
    writer.number(pending.lease);
    writer.number(pending.retention);
    frame
}

/// The record that a released attempt puts back, with its body in the frame.
pub(super) fn encode_put_back(lease: &Lease, before: &Record) -> Vec<u8> {
    let lease = Lease { token: before.token, attempt: before.attempt, ..lease.clone() };
    match &before.state {
        State::Pending { .. } => encode_pending(&lease, Pending::abandoned(&lease)),
        State::Success(outcome) => encode_ended(RecordStatus::Success, &lease, Some(outcome), true),
        State::Failed(outcome) => {
            encode_ended(RecordStatus::Failed, &lease, outcome.as_ref(), true)
        }
    }
}

/// The record of an attempt that has ended. `inline`: the frame contains the bytes of the body.
pub(super) fn encode_ended(
    status: RecordStatus,
    lease: &Lease,
    outcome: Option<&Outcome>,
    inline: bool,
) -> Vec<u8> {
    // A field that is added to `Record` is written here and in `encode_pending`.
    let Some(outcome) = outcome else {
        return start(status, lease, 0);
    };
    let body = if inline { outcome.bytes() } else { &[] };
    let mut frame = start(status, lease, outcome.size_hint() + body.len());
    outcome.encode_head(&mut frame);
    frame.extend_from_slice(body);
    frame
}

/// Everything before the rest, and capacity for more.
fn start(status: RecordStatus, lease: &Lease, more: usize) -> Vec<u8> {
    let mut frame = Vec::with_capacity(START + more);
    frame.extend_from_slice(&head(status, &lease.token));
    frame.extend_from_slice(&lease.fingerprint.to_bytes());
    frame.extend_from_slice(&lease.attempt.to_be_bytes());
    frame
}

pub(super) fn decode(frame: Bytes) -> Result<Stored, DecodeError> {
    // A field that is added to `Record` is read here.
    read(frame, |_, _| Ok(false))
}

/// Calls `field` with the tag and the value of each field. It says whether it knows the tag.
fn read(
    frame: Bytes,
    field: impl FnMut(usize, Bytes) -> Result<bool, DecodeError>,
) -> Result<Stored, DecodeError> {
    let mut reader = Reader::new(frame.clone());
    if reader.byte()? != VERSION {
        return Err(DecodeError);
    }
    let status = reader.byte()?;
    let token = Token::new(reader.array()?);
    let fingerprint = Fingerprint::from_bytes(&reader.array()?);
    let attempt = u32::from_be_bytes(reader.array()?);
    let pending = match status {
        b'P' => Some(Pending { lease: reader.number()?, retention: reader.number()? }),
        _ => None,
    };
    // No frame of an outcome begins with it.
    if reader.skip(0) {
        reader.fields(field)?;
    }
    let mut missing = 0;
    let mut outcome = |frame: Bytes| {
        let (outcome, length) = Outcome::decode_head(frame)?;
        missing = length;
        Ok(outcome)
    };
    let rest = reader.rest();
    let state = match status {
        b'P' if rest.is_empty() => State::Pending { abandoned: false },
        b'S' => State::Success(outcome(rest)?),
        b'F' if rest.is_empty() => State::Failed(None),
        b'F' => State::Failed(Some(outcome(rest)?)),
        _ => return Err(DecodeError),
    };
    let record = Record::new(fingerprint, attempt, token, state);
    let identity = if pending.is_some() { frame } else { frame.slice(..START) };
    Ok(Stored { record, identity, pending, missing })
}

#[cfg(test)]
mod tests;
