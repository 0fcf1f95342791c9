//! The binary frame of an audit entry, one item of a list.
//!
//! ```text
//! version:u8  id:16  at  attempt:u32be  action  by  reason  was  fields?
//! at                 = microseconds since 1970 by the clock of the server, in decimal digits
//! at, action, by, …  = length in LEB128, then UTF-8
//! fields             = 0, then as in `Writer::fields`
//! ```

use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::record::frame::{DecodeError, Reader, Writer};
use crate::store::Token;
use crate::store::operator::{AuditEntry, OperatorAction};

const VERSION: u8 = 1;
/// The place of the id.
const ID: std::ops::Range<usize> = 1..17;

/// The entry without the time, which the script puts behind the id.
pub(in crate::store::redis) fn encode(entry: &AuditEntry) -> Vec<u8> {
    let AuditEntry { id, at: _, action, by, reason, was, attempt } = entry;
    let mut frame = Vec::with_capacity(48 + by.len() + reason.len() + was.len());
    let mut writer = Writer::new(&mut frame);
    writer.bytes(&[VERSION]);
    writer.bytes(id.as_bytes());
    writer.bytes(&attempt.to_be_bytes());
    for text in [action.word(), by, reason, was] {
        writer.sized(text.as_bytes());
    }
    frame
}

/// Whether this is the entry of an intervention, also if another version of the crate wrote it.
pub(in crate::store::redis) fn is_of(frame: &[u8], id: &Token) -> bool {
    frame.get(ID) == Some(id.as_bytes())
}

/// The entry as the script writes it.
#[cfg(any(test, fuzzing))]
pub(in crate::store::redis) fn with_time(entry: &[u8], micros: u64) -> Vec<u8> {
    let (head, rest) = entry.split_at(ID.end);
    let mut frame = head.to_vec();
    Writer::new(&mut frame).sized(micros.to_string().as_bytes());
    [&frame, rest].concat()
}

pub(in crate::store::redis) fn decode(frame: Bytes) -> Result<AuditEntry, DecodeError> {
    let mut reader = Reader::new(frame);
    if reader.byte()? != VERSION {
        return Err(DecodeError);
    }
    let id = Token::new(reader.array()?);
    let at = text(&mut reader)?.parse().map_err(|_| DecodeError)?;
    let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(at)).ok_or(DecodeError)?;
    let attempt = u32::from_be_bytes(reader.array()?);
    let action = OperatorAction::of_word(&text(&mut reader)?).ok_or(DecodeError)?;
    let [by, reason, was] = [text(&mut reader)?, text(&mut reader)?, text(&mut reader)?];
    if reader.skip(0) {
        reader.fields(|_, _| Ok(false))?;
    }
    if !reader.rest().is_empty() {
        return Err(DecodeError);
    }
    Ok(AuditEntry { id, at, action, by, reason, was, attempt })
}

/// Without control characters, which could change what a terminal shows.
fn text(reader: &mut Reader) -> Result<String, DecodeError> {
    let text = String::from_utf8(reader.sized()?.into()).map_err(|_| DecodeError)?;
    Ok(text.replace(char::is_control, ""))
}

#[cfg(test)]
mod tests;
