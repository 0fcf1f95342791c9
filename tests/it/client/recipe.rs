//! `examples/pay.sh`, the loop around curl that the README shows.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::lossy::{Losses, Lossy};
use crate::support::random::{Draw, any_seed, setting};
use crate::support::sandbox::{Sandbox, order, order_with};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/pay.sh");

/// A place for keys and answers, in which `sleep` takes no time.
fn place() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    let sleep = place.path().join("sleep");
    fs::write(&sleep, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&sleep, fs::Permissions::from_mode(0o755)).unwrap();
    place
}

async fn pay(place: &Path, url: &str, name: &str, body: &Value) -> Output {
    let path = format!("{}:{}", place.display(), std::env::var("PATH").unwrap());
    let mut script = Command::new("bash");
    script.arg(SCRIPT).arg(name).arg(body.to_string()).current_dir(place);
    script.env("URL", format!("{url}/payments")).env("PATH", path).kill_on_drop(true);
    script.output().await.unwrap()
}

fn effects(ledger: &Path) -> Vec<Value> {
    let lines = fs::read_to_string(ledger).unwrap_or_default();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_readme_shows_the_script_as_it_is() {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    assert!(readme.contains(&format!("```sh\n{}```\n", fs::read_to_string(SCRIPT).unwrap())));
}

#[tokio::test]
async fn orders_are_paid_once_each_though_half_of_the_answers_are_lost() {
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
        // It gives up after eight attempts; whoever started it starts it again.
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
async fn an_answer_that_is_not_certain_leaves_the_key_and_fails() {
    let place = place();
    let ledger = place.path().join("ledger");
    let sandbox = Sandbox::start_with(&ledger, &[]).await;
    let url = format!("http://{}", sandbox.address());
    let key = place.path().join("order.key");

    let invalid = pay(place.path(), &url, "order", &json!({ "amount": 0 })).await;
    assert_eq!(invalid.status.code(), Some(1), "{invalid:?}");
    let kept = fs::read_to_string(&key).unwrap();

    // The mended order goes on under its key, and another one under the same name is told so.
    assert!(pay(place.path(), &url, "order", &order()).await.status.success());
    assert_eq!(effects(&ledger)[0]["key"], *kept);
    fs::remove_file(place.path().join("order.paid")).unwrap();
    let reused = pay(place.path(), &url, "order", &order_with(json!({ "delay_ms": 1 }))).await;
    assert_eq!(reused.status.code(), Some(1), "{reused:?}");
    assert!(String::from_utf8_lossy(&reused.stderr).contains("409"), "{reused:?}");
    assert_eq!(fs::read_to_string(&key).unwrap(), kept);
    assert_eq!(effects(&ledger).len(), 1);
}
