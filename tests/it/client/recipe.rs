//! `examples/pay.sh`, the loop around curl of the guide for clients.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use super::{Canned, Turn};
use crate::support::lossy::{Losses, Lossy};
use crate::support::random::{Draw, any_seed, setting};
use crate::support::sandbox::{Sandbox, order, order_with};

mod table;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/pay.sh");

/// A directory for keys and responses, in which `sleep` writes down its time and takes none.
fn place() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    command(place.path(), "sleep", "echo $1 >>slept");
    command(place.path(), "sync", "");
    place
}

/// Puts a command into the place, before the one of this name on the machine.
fn command(place: &Path, name: &str, script: &str) {
    let path = place.join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn script(place: &Path, url: &str, name: &str, body: &Value) -> Command {
    let path = format!("{}:{}", place.display(), std::env::var("PATH").unwrap());
    let mut script = Command::new("bash");
    script.arg(SCRIPT).arg(name).arg(body.to_string()).current_dir(place);
    script.env("URL", format!("{url}/payments")).env("PATH", path).env("HOME", place);
    script.env_remove("RETENTION").kill_on_drop(true);
    script
}

async fn pay(place: &Path, url: &str, name: &str, body: &Value) -> Output {
    script(place, url, name, body).output().await.unwrap()
}

/// Writes a key as an earlier run of the script would have, so many seconds ago.
fn begun(place: &Path, seconds_ago: i64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed();
    let key = format!("{:032x} {}\n", 7, now - seconds_ago);
    fs::write(place.join("order.key"), key).unwrap();
}

fn effects(ledger: &Path) -> Vec<Value> {
    let lines = fs::read_to_string(ledger).unwrap_or_default();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn orders_are_paid_once_each_though_half_of_the_responses_are_lost() {
    let seed = setting("RECIPE_SEED", any_seed());
    println!("RECIPE_SEED={seed}");
    let place = place();
    let ledger = place.path().join("ledger");
    let sandbox = Sandbox::start_with(&ledger, &[]).await;
    let losses = Losses { lost: 50, delayed: 20, delay: Duration::from_millis(50) };
    let proxy = Lossy::start(sandbox.address(), losses, Draw::from_seed(seed)).await;
    let url = format!("http://{}", proxy.address());

    let mut told = HashSet::new();
    for index in 0..12 {
        let name = format!("order-{index}");
        let mut output = pay(place.path(), &url, &name, &order()).await;
        // It gives up after eight attempts, and is started again.
        while !output.status.success() {
            output = pay(place.path(), &url, &name, &order()).await;
        }
        let receipt: Value = serde_json::from_slice(&output.stdout).unwrap();
        told.insert(receipt["id"].as_str().unwrap().to_owned());
    }
    let done: HashSet<_> =
        effects(&ledger).iter().map(|effect| effect["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!((effects(&ledger).len(), done), (12, told), "{:?}", proxy.passed());
}

#[tokio::test]
async fn an_order_is_paid_once_by_two_scripts_at_once_and_by_a_later_one() {
    let place = place();
    let ledger = place.path().join("ledger");
    let sandbox = Sandbox::start_with(&ledger, &["--in-flight=wait:5s"]).await;
    let url = format!("http://{}", sandbox.address());
    let slow = order_with(json!({ "delay_ms": 300 }));
    let pay = || pay(place.path(), &url, "order", &slow);
    let (one, other) = tokio::join!(pay(), pay());
    let later = pay().await;
    for output in [&one, &other, &later] {
        assert!(output.status.success(), "{output:?}");
        assert_eq!(output.stdout, one.stdout);
    }
    assert_eq!(effects(&ledger).len(), 1);
}

#[tokio::test]
async fn a_response_that_is_not_certain_leaves_the_key_and_fails() {
    let place = place();
    let ledger = place.path().join("ledger");
    let sandbox = Sandbox::start_with(&ledger, &[]).await;
    let url = format!("http://{}", sandbox.address());
    let key = place.path().join("order.key");

    let invalid = pay(place.path(), &url, "order", &json!({ "amount": 0 })).await;
    assert_eq!(invalid.status.code(), Some(1), "{invalid:?}");
    let stored = fs::read_to_string(&key).unwrap();

    // The corrected order continues under its key. Another order under the same name is rejected.
    assert!(pay(place.path(), &url, "order", &order()).await.status.success());
    assert!(stored.starts_with(effects(&ledger)[0]["key"].as_str().unwrap()));
    fs::remove_file(place.path().join("order.paid")).unwrap();
    let reused = pay(place.path(), &url, "order", &order_with(json!({ "delay_ms": 1 }))).await;
    assert_eq!(reused.status.code(), Some(1), "{reused:?}");
    assert!(String::from_utf8_lossy(&reused.stderr).contains("409"), "{reused:?}");
    assert_eq!(fs::read_to_string(&key).unwrap(), stored);
    assert_eq!(effects(&ledger).len(), 1);
}

/// Pays at a server that gives these responses, and then a 201.
async fn pay_at(place: &Path, turns: Vec<Turn>) -> (Output, usize) {
    let canned = Canned::turns(turns);
    let (server, _) = canned.serve().await;
    let output = pay(place, &format!("http://{}", server.address()), "order", &order()).await;
    (output, canned.count())
}

/// Asserts that nothing was sent, because of the key.
#[track_caller]
fn assert_sends_nothing((output, attempts): (Output, usize), why: &str) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), attempts), (Some(1), 0), "{said}");
    assert!(said.contains(why), "{said}");
}

#[tokio::test]
async fn a_key_that_the_server_may_have_discarded_is_not_sent() {
    let place = place();
    // An attempt takes up to 10 of the 600 seconds.
    for seconds_ago in [591, 3600] {
        begun(place.path(), seconds_ago);
        assert_sends_nothing(pay_at(place.path(), vec![]).await, "forgotten");
    }
    begun(place.path(), -400);
    assert_sends_nothing(pay_at(place.path(), vec![]).await, "from the future");
    for damaged in ["", "0123 1000", "00000000000000000000000000000007"] {
        fs::write(place.path().join("order.key"), damaged).unwrap();
        assert_sends_nothing(pay_at(place.path(), vec![]).await, "contains no key");
    }
    // A clock that was set right by less is none of these.
    for seconds_ago in [-200, 500] {
        begun(place.path(), seconds_ago);
        let (output, attempts) = pay_at(place.path(), vec![]).await;
        assert_eq!((output.status.code(), attempts), (Some(0), 1), "{output:?}");
        fs::remove_file(place.path().join("order.paid")).unwrap();
    }
}

#[tokio::test]
async fn a_key_that_becomes_too_old_between_two_attempts_is_not_sent_again() {
    let place = place();
    // Each wait takes five minutes by the wall clock, as if the machine were suspended.
    command(place.path(), "sleep", "echo >>slept");
    command(
        place.path(),
        "date",
        r#"now=$(PATH=${PATH#*:} && command date "$@") && echo $((now + 300 * $(cat slept 2>/dev/null | wc -l)))"#,
    );
    let (output, attempts) = pay_at(place.path(), vec![Turn::Fail; 7]).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), attempts), (Some(1), 1), "{said}");
    assert!(said.contains("forgotten"), "{said}");
}

#[tokio::test]
async fn the_limit_of_a_key_is_what_the_server_promises() {
    let place = place();
    begun(place.path(), 3600);
    let canned = Canned::turns([]);
    let (server, _) = canned.serve().await;
    let url = format!("http://{}", server.address());
    for (retention, code) in [("24h", 1), ("", 1), ("3000", 1), ("86400", 0)] {
        let mut script = script(place.path(), &url, "order", &order());
        let output = script.env("RETENTION", retention).output().await.unwrap();
        // A retention that is not a number of seconds is an error, or the default if it is empty.
        assert_eq!(
            (output.status.code(), canned.count()),
            (Some(code), usize::from(code == 0)),
            "{output:?}"
        );
    }
}

#[tokio::test]
async fn an_order_that_ended_otherwise_stays_so() {
    let place = place();
    let turns = vec![
        Turn::Fail,
        Turn::response(404, &[("x-idempotent-result", "true")], "no such account"),
    ];
    let (ended, attempts) = pay_at(place.path(), turns).await;
    assert_eq!((ended.status.code(), attempts), (Some(3), 2));
    assert!(ended.stderr.ends_with(b"no such account"), "{ended:?}");
    let (again, attempts) = pay_at(place.path(), vec![]).await;
    assert_eq!((again.status.code(), attempts), (Some(3), 0));
    assert_eq!(again.stderr, b"no such account");
}

#[tokio::test]
async fn an_order_whose_response_was_not_stored_ends_as_that_response_said() {
    for (original, code) in [(201, 0), (404, 3)] {
        let place = place();
        let problem =
            json!({ "code": "idempotency_result_not_retained", "original_status": original });
        let headers = [("content-type", "application/problem+json"), ("x-should-retry", "false")];
        let turns = vec![Turn::Fail, Turn::response(409, &headers, &problem.to_string())];
        let (output, attempts) = pay_at(place.path(), turns).await;
        assert_eq!((output.status.code(), attempts), (Some(code), 2), "{output:?}");
    }
}

#[tokio::test]
async fn a_success_without_a_body_is_not_given_the_body_of_the_attempt_before() {
    let place = place();
    let (output, attempts) =
        pay_at(place.path(), vec![Turn::response(503, &[], "busy"), Turn::status(204)]).await;
    assert_eq!(
        (output.status.code(), attempts, &*output.stdout),
        (Some(0), 2, &b""[..]),
        "{output:?}"
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed_whatever_curl_is_configured_to_do() {
    let place = place();
    fs::write(place.path().join(".curlrc"), "location\n").unwrap();
    let turns = vec![
        Turn::response(303, &[("location", "/login")], ""),
        Turn::response(200, &[], "log in"),
    ];
    let (output, attempts) = pay_at(place.path(), turns).await;
    assert_eq!((output.status.code(), attempts), (Some(1), 1), "{output:?}");
}

#[tokio::test]
async fn it_waits_at_least_as_long_as_the_server_asks_and_a_minute_at_most() {
    let place = place();
    let busy = |after| Turn::response(503, &[("retry-after", after)], "");
    let (output, attempts) = pay_at(place.path(), vec![busy("40"), busy("08"), busy("45")]).await;
    assert_eq!((output.status.code(), attempts), (Some(0), 4), "{output:?}");
    let slept = fs::read_to_string(place.path().join("slept")).unwrap();
    assert_eq!(slept.lines().collect::<Vec<_>>(), ["0", "40", "8", "45"]);

    let later = self::place();
    let (output, attempts) = pay_at(later.path(), vec![busy("3600")]).await;
    assert_eq!((output.status.code(), attempts), (Some(1), 1), "{output:?}");
    assert_eq!(fs::read_to_string(later.path().join("slept")).unwrap(), "0\n");
}
