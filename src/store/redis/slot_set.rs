//! The slots of a cluster: that of a name, and sets of them.

use std::fmt;
use std::ops::RangeInclusive;

/// How many slots a cluster has.
const SLOTS: u16 = 16384;

/// Some slots. A server that is not in a cluster has all of them.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct SlotSet(Box<[u64; SLOTS as usize / 64]>);

impl SlotSet {
    pub(super) fn none() -> Self {
        Self(Box::new([0; _]))
    }

    pub(super) fn all() -> Self {
        Self(Box::new([u64::MAX; _]))
    }

    pub(super) fn add(&mut self, slots: RangeInclusive<u16>) {
        for slot in slots.take_while(|slot| *slot < SLOTS) {
            self.0[usize::from(slot / 64)] |= 1 << (slot % 64);
        }
    }

    pub(super) fn add_all(&mut self, more: &Self) {
        self.0.iter_mut().zip(&*more.0).for_each(|(these, more)| *these |= more);
    }

    pub(super) fn contains(&self, slot: u16) -> bool {
        self.0[usize::from(slot % SLOTS / 64)] & 1 << (slot % 64) != 0
    }

    /// The slots that are in both.
    pub(super) fn and(mut self, other: &Self) -> Self {
        self.0.iter_mut().zip(&*other.0).for_each(|(these, other)| *these &= other);
        self
    }

    pub(super) fn first_missing(&self) -> Option<u16> {
        (0..SLOTS).find(|slot| !self.contains(*slot))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|slots| *slots == 0)
    }

    /// How many there are of so many keys, if keys are spread over all slots, in all of them.
    pub(super) fn share_of_all(&self, keys: u64) -> u64 {
        let slots: u64 = self.0.iter().map(|slots| u64::from(slots.count_ones())).sum();
        keys.saturating_mul(u64::from(SLOTS)) / slots.max(1)
    }

    /// Reads what `Display` writes.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut set = Self::none();
        for range in text.split('_').filter(|range| !range.is_empty()) {
            let (first, last) = range.split_once('-')?;
            set.add(first.parse().ok()?..=last.parse().ok()?);
        }
        Some(set)
    }
}

/// The ranges, for example `0-5460_10923-16383`.
impl fmt::Display for SlotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut slots = (0..SLOTS).filter(|slot| self.contains(*slot)).peekable();
        let mut between = "";
        while let Some(first) = slots.next() {
            let mut last = first;
            while let Some(next) = slots.next_if_eq(&(last + 1)) {
                last = next;
            }
            write!(f, "{between}{first}-{last}")?;
            between = "_";
        }
        Ok(())
    }
}

/// The slot of a name: that of the text in its first braces, if there is any.
pub(super) fn slot_of(name: &[u8]) -> u16 {
    let tag = name.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &name[open + 1..];
        let close = rest.iter().position(|byte| *byte == b'}')?;
        (close > 0).then(|| &rest[..close])
    });
    crc16(tag.unwrap_or(name)) % SLOTS
}

/// CRC-16/XMODEM, bit by bit: a name has less than a hundred bytes.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc: u16, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn slots_are_those_that_the_specification_gives() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot_of(b"foo"), 12182);
        assert_eq!(slot_of(b"bar"), 5061);
        assert_eq!(slot_of(b"{foo}bar"), slot_of(b"foo"));
        assert_eq!(slot_of(b"a{foo}{bar}"), slot_of(b"foo"));
        assert_eq!(slot_of(b"{foo"), crc16(b"{foo") % 16384);
        assert_eq!(slot_of(b"{}foo"), crc16(b"{}foo") % 16384);
        assert_eq!(slot_of(b""), 0);
    }

    #[test]
    fn a_set_is_read_as_it_is_written() {
        let mut set = SlotSet::none();
        assert_eq!((set.to_string().as_str(), set.first_missing()), ("", Some(0)));
        for slots in [0..=63, 64..=64, 100..=5460, 16383..=16383] {
            set.add(slots);
        }
        assert_eq!(set.to_string(), "0-64_100-5460_16383-16383");
        assert!(SlotSet::read(&set.to_string()).unwrap() == set);
        assert_eq!(
            (set.first_missing(), set.contains(99), set.contains(100)),
            (Some(65), false, true)
        );
        assert_eq!(SlotSet::all().to_string(), "0-16383");
        assert_eq!(SlotSet::all().first_missing(), None);
        for other in ["1", "-", "0-x", "0-70000"] {
            assert!(SlotSet::read(other).is_none(), "{other}");
        }
    }

    #[test]
    fn slots_beyond_the_last_one_do_not_count() {
        assert!(SlotSet::read("16384-65535").unwrap().is_empty());
    }

    #[test]
    fn keys_are_estimated_by_the_share_of_the_slots() {
        let mut set = SlotSet::none();
        set.add(0..=8191);
        assert_eq!((set.share_of_all(10), SlotSet::all().share_of_all(10)), (20, 10));
        assert_eq!(set.and(&SlotSet::none()).share_of_all(0), 0);
    }
}
