//! The example `reconciler`, run as its first lines say.

use std::process::Command;

use crate::support::sandbox::example;

#[test]
fn what_the_provider_has_charged_is_replayed_and_what_it_has_not_is_free_again() {
    let output = Command::new(example("reconciler")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let (before, after) = text.split_once("-- the reconciler runs\n").unwrap();
    assert!(before.contains("lost-before: 504") && before.contains("lost-after: 504"), "{text}");
    let (changes, retries) = after.split_once("-- the clients try again\n").unwrap();
    assert_eq!(changes.matches("failed: done").count(), 2, "{text}");
    assert!(retries.contains("lost-before: 504"), "it ran again: {text}");
    assert!(retries.contains(r#"lost-after: 201 Created {"charged":2}"#), "{text}");
    assert!(retries.contains(r#"paid: 201 Created {"charged":3}"#), "{text}");
}
