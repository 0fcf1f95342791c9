//! The binary frame of a [`Record`], which Redis stores as one value.
//!
//! Version, status and token come first and at fixed places, so that a script can compare all three
//! without reading the rest:
//!
//! ```text
//! version:u8  status:u8  token:16  fingerprint:33  attempt:u32be  rest
//! rest of a pending record           lease and retention in milliseconds, LEB128; fields?
//! rest of a success or failed record fields?  the frame of the outcome, if there was a response
//! fields                             0, then as in `Writer::fields`: see `fields`
//! ```
//!
//! A lease of 0 belongs to an abandoned record whose attempt gave its lease up, or that a later
//! attempt took over and put back.
//!
//! The record grows as the frame of the outcome does: a new field gets a tag. A version of the
//! crate that does not know a field writes its own records without it.

use std::time::Duration;

use bytes::Bytes;

use crate::record::fingerprint::Fingerprint;
use crate::record::frame::{DecodeError, Reader, Writer};
use crate::record::outcome::Outcome;
use crate::store::operator::RecordInfo;
use crate::store::{Lease, Record, RecordStatus, State, Token, millis};

mod fields;
mod glance;

use fields::Fields;
pub(super) use glance::Glance;

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
        Self { lease: lease.lease_millis(), retention: millis(lease.retention) }
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
    let fields = Fields::of(lease, None);
    let mut frame = Attempt::of(lease).start(RecordStatus::Pending, 20 + fields.size_hint());
    let mut writer = Writer::new(&mut frame);
    writer.number(pending.lease);
    writer.number(pending.retention);
    fields.write(&mut frame);
    frame
}

/// The record that a released attempt puts back, with its body in the frame.
pub(super) fn encode_put_back(lease: &Lease, before: &Record) -> Vec<u8> {
    let lease = Lease { token: before.token, attempt: before.attempt, ..lease.clone() };
    let ended = |status, outcome| encode_ended(status, &lease, outcome, lease.retention, true);
    match &before.state {
        State::Pending { .. } => encode_pending(&lease, Pending::abandoned(&lease)),
        State::Success(outcome) => ended(RecordStatus::Success, Some(outcome)),
        State::Failed(outcome) => ended(RecordStatus::Failed, outcome.as_ref()),
    }
}

/// The record of an attempt that has ended. `inline`: the frame contains the bytes of the body.
pub(super) fn encode_ended(
    status: RecordStatus,
    lease: &Lease,
    outcome: Option<&Outcome>,
    retention: Duration,
    inline: bool,
) -> Vec<u8> {
    ended(status, &Attempt::of(lease), &Fields::of(lease, Some(retention)), outcome, inline)
}

/// The record that an operator makes of another one. `token` is its own.
pub(super) fn encode_settled(
    status: RecordStatus,
    seen: &RecordInfo,
    token: Token,
    outcome: Option<&Outcome>,
    retention: Duration,
    inline: bool,
) -> Vec<u8> {
    let RecordInfo { fingerprint, attempt: number, .. } = *seen;
    let attempt = Attempt { token, fingerprint, number };
    ended(status, &attempt, &Fields::of_seen(seen, retention), outcome, inline)
}

fn ended(
    status: RecordStatus,
    attempt: &Attempt,
    fields: &Fields<'_>,
    outcome: Option<&Outcome>,
    inline: bool,
) -> Vec<u8> {
    // A field that is added to `Record` is written here and in `encode_pending`.
    let body = outcome.filter(|_| inline).map_or(&[][..], Outcome::bytes);
    let more = outcome.map_or(0, Outcome::size_hint) + body.len() + fields.size_hint();
    let mut frame = attempt.start(status, more);
    fields.write(&mut frame);
    if let Some(outcome) = outcome {
        outcome.encode_head(&mut frame);
        frame.extend_from_slice(body);
    }
    frame
}

/// What comes behind the status and before the rest.
struct Attempt {
    token: Token,
    fingerprint: Fingerprint,
    number: u32,
}

impl Attempt {
    fn of(lease: &Lease) -> Self {
        let Lease { token, fingerprint, attempt: number, .. } = *lease;
        Self { token, fingerprint, number }
    }

    /// Everything before the rest, and capacity for more.
    fn start(&self, status: RecordStatus, more: usize) -> Vec<u8> {
        let mut frame = Vec::with_capacity(START + more);
        frame.extend_from_slice(&head(status, &self.token));
        frame.extend_from_slice(&self.fingerprint.to_bytes());
        frame.extend_from_slice(&self.number.to_be_bytes());
        frame
    }
}

/// What is read before the frame of an outcome.
struct Start {
    status: RecordStatus,
    attempt: Attempt,
    pending: Option<Pending>,
    /// The frame of the outcome, if there was a response.
    rest: Bytes,
}

impl Start {
    /// Calls `field` with the tag and the value of each field. It says whether it knows the tag.
    fn read(
        frame: Bytes,
        field: impl FnMut(usize, &[u8]) -> Result<bool, DecodeError>,
    ) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(frame);
        if reader.byte()? != VERSION {
            return Err(DecodeError);
        }
        let status = match reader.byte()? {
            b'P' => RecordStatus::Pending,
            b'S' => RecordStatus::Success,
            b'F' => RecordStatus::Failed,
            _ => return Err(DecodeError),
        };
        let token = Token::new(reader.array()?);
        let fingerprint = Fingerprint::from_bytes(&reader.array()?);
        let number = u32::from_be_bytes(reader.array()?);
        let pending = match status {
            RecordStatus::Pending => {
                Some(Pending { lease: reader.number()?, retention: reader.number()? })
            }
            _ => None,
        };
        // No frame of an outcome begins with it.
        if reader.skip(0) {
            reader.fields(field)?;
        }
        let attempt = Attempt { token, fingerprint, number };
        Ok(Self { status, attempt, pending, rest: reader.rest() })
    }
}

pub(super) fn decode(frame: Bytes) -> Result<Stored, DecodeError> {
    // A field that is added to `Record` is read here.
    read(frame, |_, _| Ok(false))
}

/// Calls `field` with the tag and the value of each field. It says whether it knows the tag.
fn read(
    frame: Bytes,
    field: impl FnMut(usize, &[u8]) -> Result<bool, DecodeError>,
) -> Result<Stored, DecodeError> {
    let Start { status, attempt, pending, rest } = Start::read(frame.clone(), field)?;
    let mut missing = 0;
    let mut outcome = |frame: Bytes| {
        let (outcome, length) = Outcome::decode_head(frame)?;
        missing = length;
        Ok(outcome)
    };
    let state = match status {
        RecordStatus::Pending if rest.is_empty() => State::Pending { abandoned: false },
        RecordStatus::Pending => return Err(DecodeError),
        RecordStatus::Success => State::Success(outcome(rest)?),
        RecordStatus::Failed if rest.is_empty() => State::Failed(None),
        RecordStatus::Failed => State::Failed(Some(outcome(rest)?)),
    };
    let Attempt { token, fingerprint, number } = attempt;
    let record = Record::new(fingerprint, number, token, state);
    let identity = if pending.is_some() { frame } else { frame.slice(..START) };
    Ok(Stored { record, identity, pending, missing })
}

#[cfg(test)]
mod tests;
