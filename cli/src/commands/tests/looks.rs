//! Commands that change nothing: their exact output.

use super::*;

#[tokio::test(start_paused = true)]
async fn list_is_a_table_for_people() {
    let site = site().await;
    let ran = run_with(&site, "list", 120, None, |layer| layer).await;
    let expected = "\
KEY       STATE             ATTEMPT  CHANGED  EXPIRES  BYTES  NAMESPACE  ROUTE
bc74cf4d  abandoned               1  3m 12s   23h 56m    0 B  payments   POST /payments/{id}/refunds
e5e420b1  failed 502              1  2m 12s   23h 57m    4 B  payments   POST /payments/{id}/refunds
e8bb2ba7  in-flight               1  1m 12s   23h 58m    0 B  payments   POST /payments/{id}/refunds
9c50fa73  success 201             1  11s      23h 59m   13 B  payments   POST /payments/{id}/refunds
7a3e78d8  not-retained 200        1  10s      23h 59m    0 B  payments   POST /payments/{id}/refunds
";
    assert_eq!(ran.out, expected);
    assert_eq!((ran.code, ran.said.as_str()), (0, ""));
}

#[tokio::test(start_paused = true)]
async fn list_fits_80_columns() {
    let site = site().await;
    let expected = "\
KEY       STATE             ATTEMPT  CHANGED  ROUTE
7a3e78d8  not-retained 200        1  10s      POST /payments/{id}/refunds
9c50fa73  success 201             1  11s      POST /payments/{id}/refunds
e8bb2ba7  in-flight               1  1m 12s   POST /payments/{id}/refunds
e5e420b1  failed 502              1  2m 12s   POST /payments/{id}/refunds
bc74cf4d  abandoned               1  3m 12s   POST /payments/{id}/refunds
";
    assert_eq!(run(&site, "list --newest").await.out, expected);
}

#[tokio::test(start_paused = true)]
async fn list_takes_conditions() {
    let site = site().await;
    let found = async |conditions: &str| {
        let ran = run(&site, &format!("list --json {conditions}")).await;
        let name = |record: &Value| {
            let is = |name: &&&str| record["key"] == site.key(name).to_hex();
            ["cut-off", "failed", "running", "paid", "large"].iter().find(is).copied()
        };
        ran.json().iter().filter_map(name).collect::<Vec<_>>()
    };
    assert_eq!(found("--state stuck").await, ["cut-off", "failed", "large"]);
    assert_eq!(found("--state stuck --older-than 1m").await, ["cut-off", "failed"]);
    assert_eq!(found("--state stuck --newest --limit 2").await, ["large", "failed"]);
    assert_eq!(found("--route POST_/payments/{id}/refunds --state success").await, ["paid"]);
    assert_eq!(found("--scope alice --state in-flight").await, ["running"]);
    let digest = site.operator.scope_digest(&Scope::new("alice")).to_hex().to_uppercase();
    assert_eq!(found(&format!("--scope-digest {digest} --limit 1")).await, ["cut-off"]);

    for conditions in ["--route POST", "--namespace orders", "--older-than 4m"] {
        let ran = run(&site, &format!("list {conditions}")).await;
        assert_eq!((ran.code, ran.out.as_str()), (3, ""), "{conditions}");
        assert_eq!(ran.said, "error: no record was found\n");
    }
}

#[tokio::test(start_paused = true)]
async fn list_says_that_there_may_be_more() {
    let site = site().await;
    let ran = run(&site, "list --limit 2").await;
    assert_eq!(ran.out.lines().count(), 3);
    assert_eq!(ran.said, "there may be more: these are 2, see --limit\n");
    assert_eq!(run(&site, "list --limit 5").await.said, "");
}

#[tokio::test(start_paused = true)]
async fn list_is_one_document_a_line_for_programs() {
    let site = site().await;
    let lines = run(&site, "list --json").await.out;
    let [cut_off, failed, _, paid, large] = lines.lines().collect::<Vec<_>>()[..] else {
        panic!("not five lines: {lines}");
    };
    let expected = r#"{"key":"bc74cf4d499367ed566e0dd44aff1c2867ca38ffdb361506b93148c87b0681d1","state":"abandoned","in_doubt":true,"status":null,"not_retained":null,"packed":false,"attempt":1,"namespace":"payments","route":"POST /payments/{id}/refunds","scope":"31ffd5425791cad10a0c9a096ff47295","reserved_ago_ms":192000,"changed_ago_ms":192000,"expires_in_ms":86207999,"bytes":0}"#;
    assert_eq!(cut_off, expected);
    assert!(failed.contains(r#""state":"failed","in_doubt":true,"status":502"#), "{failed}");
    let success = r#""state":"success","in_doubt":false,"status":201,"not_retained":null"#;
    assert!(paid.contains(success) && paid.ends_with(r#""bytes":13}"#), "{paid}");
    let not_retained =
        r#""state":"not-retained","in_doubt":false,"status":200,"not_retained":"too large""#;
    assert!(large.contains(not_retained), "{large}");
}

#[tokio::test(start_paused = true)]
async fn stats_counts_the_states() {
    let site = site().await;
    assert_eq!(run(&site, "stats").await.out, STATS);
    let expected = r#"{"in_flight":{"count":1,"bytes":0,"oldest_ms":72000},"abandoned":{"count":1,"bytes":0,"oldest_ms":192000},"failed":{"count":1,"bytes":4,"oldest_ms":132000},"not_retained":{"count":1,"bytes":0,"oldest_ms":10000},"success":{"count":1,"bytes":13,"oldest_ms":11000},"in_doubt":{"count":2,"bytes":4,"oldest_ms":192000}}
"#;
    assert_eq!(run(&site, "stats --json").await.out, expected);
}

#[tokio::test(start_paused = true)]
async fn show_has_a_record_at_length() {
    let site = site().await;
    let expected = "\
Key        7a3e78d80b39e137ae929caf21d17dd0d3624e3791e64b4fb4e9998cfa9ea89d
State      not-retained 200
Route      POST /payments/{id}/refunds
Namespace  payments
Scope      31ffd5425791cad10a0c9a096ff47295
Attempt    1
Reserved   10s ago
Changed    10s ago
Expires    in 23h 59m
Response   not retained: too large
";
    for by in ["7a3e78d8", "7A3E78D80", "--key large --scope alice --namespace payments"] {
        assert_eq!(run(&site, &format!("show {by}")).await.out, expected, "{by}");
    }
    let failed = run(&site, &format!("show {}", site.digits("failed"))).await.out;
    assert!(failed.contains("State      failed 502, in doubt\n"), "{failed}");
    let paid = run(&site, &format!("show {}", site.digits("paid"))).await.out;
    assert!(paid.ends_with("Response   13 B\n"), "{paid}");
}

#[tokio::test(start_paused = true)]
async fn show_has_the_history_when_the_record_is_gone() {
    let site = site().await;
    let digits = site.digits("cut-off");
    run(&site, &format!("release {digits} --reason not_found --yes")).await;

    let gone = run(&site, &format!("show {digits}")).await;
    assert_eq!((gone.code, gone.out.as_str()), (3, ""));
    let expected = "error: no record begins with bc74cf4d; to see the history of a record that is \
                    gone, give all 64 digits, or --key and --scope\n";
    assert_eq!(gone.said, expected);

    let whole = site.key("cut-off").to_hex();
    let json = &run(&site, &format!("show {whole} --json")).await.json()[0];
    let at = json["history"][0]["at"].as_str().unwrap();
    let expected = serde_json::json!({
        "key": whole,
        "downstream_key": null,
        "record": null,
        "unreadable": null,
        "history": [{
            "at": at, "by": "alice", "action": "release", "reason": "not found",
            "was": "abandoned", "attempt": 1,
        }],
    });
    assert_eq!(*json, expected);
    let expected = format!(
        "\
Key        bc74cf4d499367ed566e0dd44aff1c2867ca38ffdb361506b93148c87b0681d1
State      no record: the key is free

TIME                  BY     ACTION   WAS        ATTEMPT  REASON
{at}  alice  release  abandoned        1  not found
"
    );
    assert_eq!(run(&site, &format!("show {whole}")).await.out, expected);
}

#[tokio::test(start_paused = true)]
async fn show_has_the_key_that_another_system_got() {
    let site = site().await;
    let line = format!("show {} --downstream charge", site.digits("failed"));
    let secret = |layer: IdempotencyLayer<DynStore>| layer.secret([7; 32]);
    let operator = |layer: IdempotencyLayer<DynStore>| layer.operator("a reconciler").unwrap();
    let layer = IdempotencyLayer::new(site.store.clone());
    let plain = operator(layer.clone()).downstream_key(&site.key("failed"), "charge");
    let keyed = operator(secret(layer)).downstream_key(&site.key("failed"), "charge");
    assert_ne!(plain, keyed);

    let shown = run(&site, &line).await.out;
    assert!(shown.contains(&format!("\nCalled as  {plain}\nState      ")), "{shown}");
    let shown = run_with(&site, &format!("{line} --json"), 80, None, secret).await;
    assert_eq!(shown.json()[0]["downstream_key"], keyed.as_str());
}

#[tokio::test(start_paused = true)]
async fn a_list_of_a_scope_that_finds_nothing_names_the_other_reasons() {
    let site = site().await;
    for condition in ["--scope bob", "--scope-digest 00000000000000000000000000000000"] {
        let ran = run(&site, &format!("list {condition}")).await;
        let expected = "error: no record was found; only records of a service that \
                        labels its records have a scope, and --scope needs its secret\n";
        assert_eq!((ran.code, ran.said.as_str()), (3, expected), "{condition}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_found_under_another_namespace_or_scope() {
    let site = site().await;
    for by in [
        "--key large --scope bob --namespace payments",
        "--key large --scope alice",
        "--key large --scope alice --namespace payments --host a",
        "0000000000000000000000000000000000000000000000000000000000000000",
    ] {
        let ran = run(&site, &format!("show {by}")).await;
        assert_eq!((ran.code, ran.out.as_str()), (3, ""), "{by}");
        assert!(ran.said.starts_with("error: there is no record "), "{}", ran.said);
    }
    // The secret of the service changes all names.
    let by = "show --key large --scope alice --namespace payments";
    let ran = run_with(&site, by, 80, None, |layer| layer.secret([7; 32])).await;
    assert_eq!(ran.code, 3);
}

#[tokio::test(start_paused = true)]
async fn watch_prints_lines_without_a_terminal() {
    let site = site().await;
    let ran = run(&site, "watch --times 2 --every 10s").await;
    let lines: Vec<_> = ran.out.lines().filter_map(|line| line.split_once("Z  ")).collect();
    let expected = |age: &str| {
        format!(
            "in-doubt 2, abandoned 1, failed 1, not-retained 1, in-flight 1, success 1; bc74cf4d \
             abandoned {age} POST /payments/{{id}}/refunds"
        )
    };
    let found: Vec<_> = lines.iter().map(|(_, line)| (*line).to_owned()).collect();
    assert_eq!(found, [expected("3m 12s"), expected("3m 22s")]);

    let documents = run(&site, "watch --times 2 --json --state failed").await.json();
    assert_eq!(documents.len(), 2);
    assert_eq!(documents[0]["stats"]["in_doubt"]["count"], 2);
    assert_eq!(documents[0]["records"][0]["status"], 502);
    assert!(documents[0]["at"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test(start_paused = true)]
async fn the_doctor_looks_at_the_store_and_not_at_the_service() {
    let site = site().await;
    let expected = "\
ok    reachable   it replies
OPEN  store       in the memory of this process
                  a restart forgets all keys, and other processes do not see
                  them
                  -> use Redis, PostgreSQL or SQLite
ok    operations  each one works, the slowest within 1 ms
ok    operators   records can be listed and changed
";
    let ran = run(&site, "doctor").await;
    assert_eq!(ran.out, expected);
    assert_eq!((ran.code, ran.said.as_str()), (5, "error: the doctor found 1 problem\n"));

    let json = &run(&site, "doctor --json").await.json()[0];
    assert_eq!(json["problems"], 1);
    let expected = serde_json::json!({
        "name": "store",
        "result": "open",
        "found": "in the memory of this process",
        "why": "a restart forgets all keys, and other processes do not see them",
        "remedy": "use Redis, PostgreSQL or SQLite",
    });
    assert_eq!(json["findings"][1], expected);
}
