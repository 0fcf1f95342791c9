//! What a record says for operators, in its fields.
//!
//! | tag | value |
//! |---|---|
//! | 2 | the namespace of the label |
//! | 4 | the route of the label |
//! | 6 | the digest of the scope, 16 bytes |
//! | 8 | how long the attempt had run when this was written, in milliseconds |
//! | 10 | the retention of a record that has ended, in milliseconds |
//!
//! A record has them if its layer labels records. A record that an operator has settled has the
//! last one in any case. Numbers are big-endian, without zeros before them.

use std::sync::Arc;
use std::time::Duration;

use crate::record::frame::{DecodeError, Field, Writer};
use crate::record::key::ScopeDigest;
use crate::record::label::RecordLabel;
use crate::store::operator::RecordInfo;
use crate::store::{Lease, millis};

const NAMESPACE: usize = 2;
const ROUTE: usize = 4;
const SCOPE: usize = 6;
const TOOK: usize = 8;
const RETENTION: usize = 10;

/// The fields that are written.
#[derive(Default)]
pub(super) struct Fields<'a> {
    label: Option<&'a RecordLabel>,
    scope: Option<&'a ScopeDigest>,
    took: Option<Number>,
    retention: Option<Number>,
}

impl<'a> Fields<'a> {
    /// Nothing, unless the lease has a label.
    pub(super) fn of(lease: &'a Lease, retention: Option<Duration>) -> Self {
        let Some(label) = lease.label.as_deref() else { return Self::default() };
        Self {
            label: Some(label),
            scope: Some(&lease.scope),
            took: Some(Number::of(lease.since.elapsed())),
            retention: retention.map(|retention| Number(millis(retention) as u64)),
        }
    }

    /// As a record had them that an operator has seen.
    pub(super) fn of_seen(seen: &'a RecordInfo, retention: Duration) -> Self {
        Self {
            label: seen.label.as_deref(),
            scope: seen.scope.as_ref(),
            took: seen.reserved_ago.map(Number::of),
            retention: Some(Number(millis(retention) as u64)),
        }
    }

    /// A guess, on the large side, at how many bytes they take.
    pub(super) fn size_hint(&self) -> usize {
        let label = self.label.map_or(0, |label| label.namespace.len() + label.route.len() + 6);
        let has_any = label > 0 || self.retention.is_some();
        if has_any { label + 42 } else { 0 }
    }

    pub(super) fn write(&self, frame: &mut Vec<u8>) {
        let (took, retention) = (self.took.map(Number::bytes), self.retention.map(Number::bytes));
        let all: [Option<Field<'_>>; 5] = [
            self.label.map(|label| (NAMESPACE, label.namespace.as_bytes())),
            self.label.map(|label| (ROUTE, label.route.as_bytes())),
            self.scope.map(|scope| (SCOPE, &scope.as_bytes()[..])),
            took.as_ref().map(|took| (TOOK, without_zeros(took))),
            retention.as_ref().map(|retention| (RETENTION, without_zeros(retention))),
        ];
        let mut present = [(0, &[][..]); 5];
        let mut count = 0;
        for field in all.into_iter().flatten() {
            present[count] = field;
            count += 1;
        }
        if count > 0 {
            frame.push(0);
            Writer::new(frame).fields(&present[..count]);
        }
    }
}

/// The fields that were read.
#[derive(Default)]
pub(super) struct Labelled {
    namespace: Option<String>,
    route: Option<String>,
    pub(super) scope: Option<ScopeDigest>,
    pub(super) took: Option<Duration>,
    /// In milliseconds.
    pub(super) retention: Option<u64>,
}

impl Labelled {
    /// Reads one field. Whether its tag is known.
    pub(super) fn read(&mut self, tag: usize, value: &[u8]) -> Result<bool, DecodeError> {
        let text = || std::str::from_utf8(value).map(str::to_owned).map_err(|_| DecodeError);
        match tag {
            NAMESPACE => self.namespace = Some(text()?),
            ROUTE => self.route = Some(text()?),
            SCOPE => {
                let digest = value.try_into().map_err(|_| DecodeError)?;
                self.scope = Some(ScopeDigest::from_bytes(digest));
            }
            TOOK => self.took = Some(Duration::from_millis(number(value)?)),
            RETENTION => self.retention = Some(number(value)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The label, without what does not belong in one: another writer may have put it there.
    pub(super) fn label(&self) -> Option<Arc<RecordLabel>> {
        let (namespace, route) = (self.namespace.as_deref()?, self.route.as_deref()?);
        Some(Arc::new(RecordLabel::new(namespace, route)))
    }
}

/// A number of milliseconds.
#[derive(Clone, Copy)]
struct Number(u64);

impl Number {
    fn of(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    fn bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

fn without_zeros(bytes: &[u8; 8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[zeros..]
}

fn number(value: &[u8]) -> Result<u64, DecodeError> {
    if value.len() > 8 || value.first() == Some(&0) {
        return Err(DecodeError);
    }
    Ok(value.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}
