#![allow(clippy::unwrap_used)]

use redis::{cmd, parse_redis_value};

use super::*;

/// A command whose last argument has this many bytes, and the same of the driver.
fn both(bytes: usize) -> (Vec<Vec<u8>>, Cmd) {
    let body = vec![b'\r'; bytes];
    let mut driver = cmd("SET");
    driver.arg("name").arg(&body).arg("NX");
    (vec![b"SET".to_vec(), b"name".to_vec(), body, b"NX".to_vec()], driver)
}

#[test]
fn commands_are_packed_as_the_driver_packs_them() {
    for bytes in [0, 1, 9, 10, 99, 100, 101, 1000, 65_536] {
        let (ours, driver) = both(bytes);
        let ours: Vec<_> = ours.iter().map(Vec::as_slice).collect();
        let twice = Commands::of(&[&ours, &ours]);
        assert_eq!(twice.count(), 2);
        assert_eq!(twice.packed(), driver.get_packed_command().repeat(2), "{bytes}");
        let mut in_parts = Commands::with_capacity_for(&[&ours]);
        in_parts.add(&[&ours[..1], &[], &ours[1..]]);
        assert_eq!(in_parts.packed(), driver.get_packed_command(), "{bytes}");
    }
}

#[test]
fn packed_commands_are_read_again() {
    let commands =
        Commands::of(&[&[b"SET", b"name", b"*1\r\n$4\r\n"], &[b"PTTL", b""], &[b"PING"]]);
    let all: Vec<_> = commands.iter().collect();
    let [set, pttl, ping]: [&[&[u8]]; 3] =
        [&[b"SET", b"name", b"*1\r\n$4\r\n"], &[b"PTTL", b""], &[b"PING"]];
    assert_eq!(all, [set, pttl, ping]);
    assert_eq!(commands.pipeline().get_packed_pipeline(), commands.packed());
}

#[test]
fn the_name_chooses_the_slot() {
    let name = |command: &[&[u8]]| Commands::of(&[command]).name().map(<[u8]>::to_vec);
    assert_eq!(name(&[b"GET", b"record"]).unwrap(), b"record");
    assert_eq!(name(&[b"EVALSHA", b"digest", b"2", b"record", b"body"]).unwrap(), b"record");
    assert_eq!(name(&[b"EVAL", b"return 1", b"1", b"record"]).unwrap(), b"record");
    assert_eq!(name(&[b"PING"]), None);
    assert_eq!(Commands::of(&[]).name(), None);
}

fn replies(replies: &[&str]) -> Vec<Value> {
    replies.iter().map(|reply| parse_redis_value(reply.as_bytes()).unwrap()).collect()
}

#[test]
fn an_error_that_is_no_outage_is_told_before_one_that_is() {
    let error = |wanted| last::<Value>(replies(wanted)).unwrap_err().code().map(str::to_owned);
    assert_eq!(error(&["-LOADING a\r\n", "-NOPERM b\r\n"]).unwrap(), "NOPERM");
    assert_eq!(error(&["-NOPERM b\r\n", "-LOADING a\r\n"]).unwrap(), "NOPERM");
    assert_eq!(error(&["-LOADING a\r\n", "-READONLY b\r\n"]).unwrap(), "LOADING");
    assert_eq!(error(&["-OOM a\r\n", ":1\r\n"]).unwrap(), "OOM");
}

#[test]
fn replies_are_read_together_or_the_last_one_alone() {
    let two = ["$3\r\nabc\r\n", ":7\r\n"];
    assert_eq!(all::<(String, i64)>(replies(&two)).unwrap(), ("abc".to_owned(), 7));
    assert_eq!(last::<i64>(replies(&two)).unwrap(), 7);
    assert!(last::<i64>(replies(&["$3\r\nabc\r\n"])).is_err());
}
