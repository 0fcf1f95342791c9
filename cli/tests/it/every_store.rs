//! What an operator does in a night, on each store.

use std::fs;

use http::StatusCode;
use tower_idempotency::store::NotRetained;
use tower_idempotency::store::operator::RecordState;

use crate::planted::response;
use crate::program::{Ran, run};
use crate::stores::Shared;

impl Shared {
    /// Runs a command on this store, as alice.
    fn run(&self, line: &str) -> Ran {
        run(line, &[("IDEMPOTENCY_STORE", &self.url), ("IDEMPOTENCY_OPERATOR", "alice")])
    }

    /// The states of a list, the oldest first.
    fn states(&self, conditions: &str) -> Vec<String> {
        let mut records = self.run(&format!("list --json {conditions}")).json();
        records.sort_by_key(|record| std::cmp::Reverse(record["changed_ago_ms"].as_u64()));
        records.iter().map(|record| record["state"].as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test]
async fn stuck_records_are_found_and_settled() {
    for shared in Shared::each().await {
        let Shared { site, url, .. } = &shared;
        site.every_state(|_| std::future::ready(())).await;
        let mut stuck = shared.states("--state stuck");
        stuck.sort();
        assert_eq!(stuck, ["abandoned", "failed", "not-retained"], "{url}");
        assert_eq!(shared.states("--scope alice").len(), 5, "{url}");
        assert_eq!(shared.states("--state in-flight --route POST_/payments/{id}/refunds").len(), 1);
        assert_eq!(shared.run("list --state stuck --older-than 1h --scope bob").code, 3, "{url}");

        let stats = &shared.run("stats --json").json()[0];
        for (state, count) in [("in_doubt", 2), ("success", 1), ("not_retained", 1)] {
            assert_eq!(stats[state]["count"], count, "{url}: {stats}");
        }

        let folder = tempfile::tempdir().unwrap();
        let body = folder.path().join("body");
        fs::write(&body, "settled").unwrap();
        let settle = format!(
            "settle {} --status 201 --body-file {} --header x-by:hand --yes --reason seen",
            site.digits("cut-off"),
            body.display()
        );
        let ran = shared.run(&settle);
        assert_eq!(ran.code, 0, "{url}: {}", ran.errors);
        let stored = site.stored("cut-off").await;
        assert_eq!((stored.status, stored.bytes()), (StatusCode::CREATED, &b"settled"[..]));
        assert_eq!(stored.headers["x-by"], "hand");
        // Clients get it now.
        assert_eq!(shared.run(&settle).code, 4, "{url}");

        let release = format!("release {} --yes --reason none", site.digits("failed"));
        assert_eq!(shared.run(&release).code, 0, "{url}");
        assert_eq!(site.state("failed").await, None);
        assert_eq!(shared.run(&release).code, 3, "{url}");

        let erase = "erase --key large --scope alice --namespace payments --yes --reason gdpr";
        assert_eq!(shared.run(erase).code, 0, "{url}");
        assert_eq!(site.state("large").await, None);

        let ran = shared.run("list --state stuck");
        assert_eq!((ran.code, ran.errors.as_str()), (3, "error: no record was found\n"), "{url}");
        for (name, action, was) in [
            ("cut-off", "respond", "abandoned"),
            ("failed", "release", "failed"),
            ("large", "erase", "not-retained"),
        ] {
            let shown = &shared.run(&format!("show --json {}", site.key(name).to_hex())).json()[0];
            let entry = &shown["history"][0];
            let found = (&entry["by"], &entry["action"], &entry["was"]);
            assert_eq!(found, (&"alice".into(), &action.into(), &was.into()), "{url}: {shown}");
        }
    }
}

#[tokio::test]
async fn a_scope_is_erased_but_for_its_live_attempts() {
    for shared in Shared::each().await {
        let Shared { site, url, .. } = &shared;
        site.every_state(|_| std::future::ready(())).await;
        let ran = shared.run("erase --scope alice --reason gdpr --yes --json");
        assert_eq!(ran.code, 4, "{url}: {}", ran.errors);
        let done = &ran.json()[0];
        assert_eq!((&done["erased"], &done["left"]), (&4.into(), &1.into()), "{url}");
        assert_eq!(shared.states("--scope alice"), ["in-flight"], "{url}");

        let ran = shared.run("erase --scope alice --reason gdpr --yes --even-in-flight");
        assert_eq!(ran.code, 0, "{url}: {}", ran.errors);
        assert_eq!(shared.run("list").code, 3, "{url}");
    }
}

#[tokio::test]
async fn the_secret_and_the_keys_come_from_files_or_variables() {
    for shared in Shared::each().await {
        let Shared { site, url, .. } = &shared;
        site.abandoned("cut-off").await;
        let folder = tempfile::tempdir().unwrap();
        let (secret, key) = (folder.path().join("secret"), folder.path().join("key"));
        fs::write(&secret, "07".repeat(32)).unwrap();
        fs::write(&key, "0a".repeat(32)).unwrap();
        let digits = site.digits("cut-off");
        let files =
            format!("--secret-file {} --encryption-key-file 3:{}", secret.display(), key.display());
        let settle = format!("settle {digits} --status 200 --yes --reason r {files}");
        let ran = shared.run(&settle);
        assert_eq!(ran.code, 0, "{url}: {}", ran.errors);

        let show = format!("show {digits} --json");
        assert_eq!(shared.run(&show).json()[0]["unreadable"], "decrypt", "{url}");
        let keys = format!("3:{}", "0a".repeat(32));
        let variables =
            [("IDEMPOTENCY_STORE", url.as_str()), ("IDEMPOTENCY_ENCRYPTION_KEY", &keys)];
        assert_eq!(
            run(&show, &variables).json()[0]["unreadable"],
            serde_json::Value::Null,
            "{url}"
        );
        // Under the secret, the key of the client has another name.
        let by_key = "show --key cut-off --scope alice --namespace payments";
        assert_eq!(shared.run(by_key).code, 0, "{url}");
        assert_eq!(shared.run(&format!("{by_key} {files}")).code, 3, "{url}");
    }
}

#[tokio::test]
async fn the_doctor_finds_what_is_wrong_with_a_store() {
    let redis = Shared::redis().await;
    let found = redis.run("doctor --json");
    let result = |name: &str| {
        let document = &found.json()[0];
        let findings = document["findings"].as_array().unwrap();
        let finding = findings.iter().find(|finding| finding["name"] == name);
        finding.map(|finding| finding["result"].as_str().unwrap().to_owned())
    };
    // The server of the test writes nothing to its disk.
    assert_eq!(found.code, 5, "{}", found.errors);
    assert_eq!(result("durability").as_deref(), Some("open"));
    for name in ["reachable", "operations", "eviction", "operators"] {
        assert_eq!(result(name).as_deref(), Some("passed"), "{name}: {}", found.out);
    }

    let sqlite = Shared::sqlite().await;
    let found = run(&format!("doctor {}", sqlite.url), &[]);
    assert_eq!((found.code, found.errors.as_str()), (0, ""), "{}", found.out);
    assert!(found.out.contains("ok    operators         "), "{}", found.out);
}

#[tokio::test]
async fn a_list_ends_with_its_reader() {
    let shared = Shared::sqlite().await;
    for name in ["a", "b"] {
        let large = crate::planted::not_retained(StatusCode::OK, NotRetained::TooLarge);
        shared.site.succeeded(name, &large).await;
    }
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = std::process::Command::new(crate::program::PROGRAM);
    command.args(["list", "--json", "--store", &shared.url]).stdout(writer);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[tokio::test]
async fn the_result_of_a_command_counts_without_a_reader_of_its_output() {
    let redis = Shared::redis().await;
    redis.site.in_flight("running").await;
    let digits = redis.site.digits("running");
    let write = "--yes --by alice --reason r --json";
    for (line, code) in [
        // The server writes nothing to its disk.
        ("doctor".to_owned(), 5),
        (format!("release {digits} {write}"), 4),
        (format!("erase --scope alice {write}"), 4),
        (format!("erase {digits} --even-in-flight {write}"), 0),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = std::process::Command::new(crate::program::PROGRAM);
        command.args(crate::program::words(&line)).args(["--store", &redis.url]).stdout(writer);
        assert_eq!(command.output().unwrap().status.code(), Some(code), "{line}");
    }
}

#[tokio::test]
async fn the_doctor_finds_that_records_can_be_listed_but_not_changed() {
    let redis = Shared::redis().await;
    let rights = "+ping +get +getrange +set +pttl +pexpire +del +unlink +eval +evalsha +scan +dbsize +info +time";
    redis.tell(&format!("ACL SETUSER lister on >pw ~* {rights}"));
    let url = format!("{}?user=lister&pass=pw", redis.url);
    assert_eq!(run(&format!("list --store {url}"), &[]).code, 3);
    let ran = run(&format!("doctor {url} --json"), &[]);
    let document = &ran.json()[0];
    let mut findings = document["findings"].as_array().unwrap().iter();
    let operators = findings.find(|finding| finding["name"] == "operators").unwrap();
    assert_eq!(operators["result"], "open", "{}", ran.out);
    let found = operators["found"].as_str().unwrap();
    assert!(found.contains("+lrange +rpush +ltrim"), "{found}");

    redis.tell("ACL SETUSER lister +lrange +rpush +ltrim");
    let ran = run(&format!("doctor {url}"), &[]);
    assert!(
        ran.out.contains("ok    operators         records can be listed and changed\n"),
        "{}",
        ran.out
    );
}

#[tokio::test]
async fn a_change_needs_a_name() {
    let shared = Shared::sqlite().await;
    shared.site.abandoned("cut-off").await;
    let line = format!("release {} --yes --reason r", shared.site.digits("cut-off"));
    let store = ("IDEMPOTENCY_STORE", shared.url.as_str());
    let ran = run(&line, &[store]);
    let expected =
        "error: a change needs your name: use --by or the variable IDEMPOTENCY_OPERATOR\n";
    assert_eq!((ran.code, ran.errors.as_str()), (2, expected));
    assert_eq!(run(&line, &[store, ("USER", "a\nb")]).code, 2);
    assert_eq!(shared.site.state("cut-off").await, Some(RecordState::Abandoned));
    assert_eq!(run(&line, &[store, ("USER", "bob")]).code, 0);
    let shown = run(&format!("show --json {}", shared.site.key("cut-off").to_hex()), &[store]);
    assert_eq!(shown.json()[0]["history"][0]["by"], "bob");
}

#[tokio::test]
async fn other_tables_are_other_stores() {
    let shared = Shared::sqlite().await;
    shared.site.succeeded("paid", &response(200, "")).await;
    assert_eq!(shared.run("list").code, 0);
    let other = shared.run("list --table other");
    assert_eq!(other.code, 1, "{}", other.errors);
    assert!(other.errors.contains("`SqliteStore::migrate` has not been run"), "{}", other.errors);
    let redis = Shared::redis().await;
    redis.site.succeeded("paid", &response(200, "")).await;
    assert_eq!(redis.run("list --prefix other:").code, 3);
}
