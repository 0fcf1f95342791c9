#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn entry() -> AuditEntry {
    AuditEntry {
        id: Token::new([7; 16]),
        at: SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_872_000_000_001),
        action: OperatorAction::Respond,
        by: "night shift".to_owned(),
        reason: "pay_7".to_owned(),
        was: "abandoned".to_owned(),
        attempt: 3,
    }
}

fn stored() -> Vec<u8> {
    with_time(&encode(&entry()), 1_795_872_000_000_001)
}

/// Entries that are stored today must be readable tomorrow.
#[test]
fn an_entry_is_as_it_was_in_version_1() {
    let expected = [
        &[1][..],
        &[7; 16],
        b"\x101795872000000001",
        b"\0\0\0\x03",
        b"\x07respond\x0bnight shift\x05pay_7\x09abandoned",
    ];
    assert_eq!(stored(), expected.concat());
    assert_eq!(decode(stored().into()).unwrap(), entry());
    assert!(is_of(&stored(), &Token::new([7; 16])));
    assert!(!is_of(&stored(), &Token::new([8; 16])) && !is_of(b"\x01", &Token::new([7; 16])));
}

#[test]
fn an_entry_that_is_cut_short_too_long_or_of_another_version_is_rejected() {
    let frame = stored();
    for end in 0..frame.len() {
        assert!(decode(Bytes::copy_from_slice(&frame[..end])).is_err(), "{end} bytes");
    }
    for (more, is_read) in [
        (&b"x"[..], false),
        (b"\0", false),
        (b"\0\x03\x02\x01a", true),
        (b"\0\x03\x01\x01a", false),
    ] {
        let longer = [&frame[..], more].concat();
        assert_eq!(decode(longer.into()).ok(), is_read.then(entry), "{more:?}");
    }
    let mut later = frame;
    later[0] = 2;
    assert!(decode(later.clone().into()).is_err());
    assert!(is_of(&later, &Token::new([7; 16])), "a newer version knows its own entry");
}

/// Terminals and pages show them.
#[test]
fn a_text_that_another_program_wrote_loses_its_control_characters() {
    let forged = AuditEntry { reason: "paid\u{1b}[2J\n".to_owned(), ..entry() };
    let read = decode(with_time(&encode(&forged), 1).into()).unwrap();
    assert_eq!(read.reason, "paid[2J");
}

proptest! {
    #[test]
    fn bytes_of_any_kind_are_read_or_rejected(frame in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(frame.into());
    }

    #[test]
    fn a_time_of_any_size_is_read_or_rejected(micros: u64) {
        let read = decode(with_time(&encode(&entry()), micros).into());
        let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(micros));
        prop_assert_eq!(read.ok().map(|entry| entry.at), at);
    }
}
