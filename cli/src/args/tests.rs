//! What the command line accepts.

#![allow(clippy::unwrap_used)]

use super::*;

mod runbook;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split(' ').map(|word| word.replace('_', " ")))
}

/// The first line of the error of a command line.
fn error(line: &str) -> String {
    match parse(line) {
        Ok(_) => panic!("this is accepted: {line}"),
        Err(error) => {
            assert_eq!(error.exit_code(), 2, "{line}");
            error.to_string().lines().next().unwrap_or_default().to_owned()
        }
    }
}

#[test]
fn the_description_is_sound() {
    Cli::description().debug_assert();
}

#[test]
fn wrong_values_are_named() {
    for (line, expected) in [
        (
            "idempotency show 1234567",
            "error: invalid value '1234567' for '[KEY]': not 8 to 64 hexadecimal digits: for the key \
             of a client, use --key and --scope",
        ),
        (
            "idempotency list --state stuk",
            "error: invalid value 'stuk' for '--state <STATE>': a state is one of in-flight, \
             abandoned, failed, in-doubt, not-retained, success, stuck",
        ),
        (
            "idempotency list --older-than 5",
            "error: invalid value '5' for '--older-than <AGE>': not a duration like 300ms, 90s, 5m or \
             24h",
        ),
        (
            "idempotency list --limit 0",
            "error: invalid value '0' for '--limit <NUMBER>': 0 is not in 1..",
        ),
        (
            "idempotency settle 12345678 --reason r --status 99",
            "error: invalid value '99' for '--status <CODE>': not the status of a response: 200 to \
             599",
        ),
        (
            "idempotency settle 12345678 --reason r --status 200 --header a",
            "error: invalid value 'a' for '--header <HEADER>': not a header like `name: value`",
        ),
        (
            "idempotency list --scope-digest 12",
            "error: invalid value '12' for '--scope-digest <HEX>': not the 32 hexadecimal digits that \
             `show` prints",
        ),
    ] {
        assert!(error(line).starts_with(expected), "{line}: {}", error(line));
    }
}

#[test]
fn options_that_contradict_each_other_are_rejected() {
    for line in [
        "idempotency show 12345678 --key k --scope s",
        "idempotency show --key k --scope s --anonymous",
        "idempotency show 12345678 --scope s",
        "idempotency show --scope s --namespace n",
        "idempotency settle 12345678 --reason r",
        "idempotency settle 12345678 --reason r --done",
        "idempotency settle 12345678 --reason r --done --failed --status 200",
        "idempotency settle 12345678 --reason r --failed --body-file f",
        "idempotency settle 12345678 --reason r --done --status 200 --header a:b",
        "idempotency settle 12345678 --status 200",
        "idempotency release 12345678",
        "idempotency erase 12345678 --scope-digest 00000000000000000000000000000000 --reason r",
        "idempotency list --scope s --scope-digest 00000000000000000000000000000000",
        "idempotency list --host h",
        "idempotency watch --times 0",
    ] {
        error(line);
    }
}

#[test]
fn a_record_is_named_by_its_digits_or_by_key_and_scope() {
    let target = |line: &str| match parse(line).unwrap().command {
        Command::Show(args) => args.key.target(),
        _ => panic!("another command: {line}"),
    };
    let digits = target("idempotency show 3FC82EC1").unwrap();
    assert_eq!(digits, Target::Digits("3fc82ec1".into()));

    let key = |text: &str| tower_idempotency::IdempotencyKey::parse(text.as_bytes()).unwrap();
    let of = |scope, name| Target::Key(Box::new((scope, key(name))));
    let alice = tower_idempotency::Scope::new("alice");
    let named = target("idempotency show --key \"k\" --scope alice").unwrap();
    assert_eq!(named, of(alice.clone(), "k"));
    let hex = target("idempotency show --key k --scope-hex 616c696365 --host A").unwrap();
    assert_eq!(hex, of(alice.on_host("a"), "k"));
    let anonymous = target("idempotency show --key k --anonymous").unwrap();
    assert_eq!(anonymous, of(tower_idempotency::Scope::anonymous(), "k"));

    for line in ["idempotency show", "idempotency show --key k", "idempotency show --scope s"] {
        assert_eq!(target(line).unwrap_err().code, 2, "{line}");
    }
}

#[test]
fn a_key_may_have_spaces() {
    let strict = tower_idempotency::IdempotencyKey::parse_strict(b"\"a b\"").unwrap();
    assert_eq!(values::key("a b").unwrap(), strict);
    assert_eq!(values::key("\"a b\"").unwrap(), strict);
    assert_eq!(
        values::key("ü").unwrap_err(),
        "the idempotency key has bytes other than visible ASCII"
    );
}

#[test]
fn the_help_does_not_show_the_url_of_the_variable() {
    let mut description = Cli::description();
    let store = description.get_arguments().find(|arg| arg.get_id() == "store").unwrap();
    assert!(store.is_hide_env_values_set());
    let help = description.render_long_help().to_string();
    assert!(help.contains("Exit codes:\n  0  done\n"), "{help}");
}
