//! Commands that change records: what they ask, what they do, and what they leave alone.

use std::fs;

use super::*;

#[tokio::test(start_paused = true)]
async fn release_shows_the_record_and_the_consequence_before_it_asks() {
    let site = site().await;
    let line = "release bc74cf4d --reason the_provider_has_no_payment";
    let expected = "\
Key        bc74cf4d499367ed566e0dd44aff1c2867ca38ffdb361506b93148c87b0681d1
State      abandoned, in doubt
Route      POST /payments/{id}/refunds
Namespace  payments
Scope      31ffd5425791cad10a0c9a096ff47295
Attempt    1
Reserved   3m 12s ago
Changed    3m 12s ago
Expires    in 23h 56m

Becomes    no record: the key is free
Reason     the provider has no payment (by alice)

The next retry runs the operation as its first attempt. If the operation did
have an effect, the retry has it a second time.

Release it? [y/N] ";
    let ran = asked(&site, line, "n\n").await;
    let declined = format!("{expected}error: you did not confirm: nothing was changed\n");
    assert_eq!((ran.code, ran.out.as_str(), ran.said), (1, "", declined));
    assert_eq!(site.state("cut-off").await, Some(RecordState::Abandoned));

    let ran = asked(&site, line, "y\n").await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "release bc74cf4d: done\n"));
    // Without a record, only all digits find the history.
    let history = "its history: idempotency show \
                   bc74cf4d499367ed566e0dd44aff1c2867ca38ffdb361506b93148c87b0681d1\n";
    assert_eq!(ran.said, format!("{expected}{history}"));
    assert_eq!(site.state("cut-off").await, None);
}

#[tokio::test(start_paused = true)]
async fn without_a_terminal_a_change_needs_yes() {
    let site = site().await;
    let commands =
        ["release bc74cf4d", "settle bc74cf4d --failed", "erase bc74cf4d", "erase --scope alice"];
    for command in commands {
        let ran = run(&site, &format!("{command} --reason r")).await;
        let expected = "error: a change asks before it is made, and there is no terminal to ask on: \
                        use --yes\n";
        assert_eq!((ran.code, ran.out.as_str(), ran.said.as_str()), (2, "", expected), "{command}");
    }
    assert_eq!(site.state("cut-off").await, Some(RecordState::Abandoned));
}

#[tokio::test(start_paused = true)]
async fn a_live_attempt_is_left_alone_unless_the_operator_insists() {
    let site = site().await;
    let lease = site.in_flight("live").await;
    let digits = site.digits("live");
    for command in ["release K", "settle K --failed", "settle K --status 200", "erase K"] {
        let line = format!("{command} --reason r").replace('K', &digits);
        let ran = asked(&site, &line, "y\n").await;
        let expected = format!(
            "error: {digits}: an attempt runs: nothing was changed; wait until it ends or its lease \
             lapses; --even-in-flight changes it now\n"
        );
        assert_eq!((ran.code, ran.said), (4, expected), "{command}");
    }
    assert_eq!(site.state("live").await, Some(RecordState::InFlight));

    let ran = asked(&site, &format!("release {digits} --reason r --even-in-flight"), "y\n").await;
    let warning = "\n\nAn attempt runs. It goes on, and its response is not stored.\nBecomes";
    assert!(ran.said.contains(warning), "{}", ran.said);
    assert_eq!(ran.code, 0);
    assert_eq!(site.state("live").await, None);
    let renewed = site.store.renew(&lease).await.unwrap();
    assert_eq!(renewed, Settlement::LeaseLost);
}

#[tokio::test(start_paused = true)]
async fn settle_stores_the_response_that_clients_get() {
    let site = site().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("body.json");
    fs::write(&file, r#"{"id":7}"#).unwrap();
    let line = format!(
        "settle bc74cf4d --status 201 --body-file {} --header content-type:application/json \
         --header location:/payments/7 --reason r --retention 2h",
        file.display()
    );
    let ran = asked(&site, &line, "y\n").await;
    assert_eq!(ran.code, 0, "{}", ran.said);
    let expected = "\
Becomes    success 201, 2 headers, a body of 8 B, for 2h
Reason     r (by alice)

Clients that retry get this response from now on.
The response is stored as it is. A service that encrypts responses rejects it
with 503: give its key by --encryption-key-file.

Settle it? [y/N] ";
    assert!(ran.said.ends_with(expected), "{}", ran.said);
    let stored = site.stored("cut-off").await;
    assert_eq!((stored.status, stored.bytes()), (StatusCode::CREATED, &br#"{"id":7}"#[..]));
    assert_eq!(stored.headers["content-type"], "application/json");
    assert_eq!(stored.headers["location"], "/payments/7");
    let shown = site.operator.show(&site.key("cut-off")).await.unwrap().record.unwrap();
    assert_eq!(shown.expires_in, Some(Duration::from_hours(2)));
}

#[tokio::test(start_paused = true)]
async fn settle_stores_a_failure_or_a_conclusion() {
    let site = site().await;
    let states = [
        ("--failed", "failed", RecordState::Failed { status: None }),
        ("--failed --status 503", "failed 503", failed(503)),
        ("--done --status 201", "success 201, not retained", concluded(201)),
    ];
    for (index, (options, becomes, state)) in states.into_iter().enumerate() {
        let name = format!("another-{index}");
        site.abandoned(&name).await;
        let line = format!("settle {} {options} --reason r", site.digits(&name));
        let ran = asked(&site, &line, "yes\n").await;
        assert_eq!(ran.code, 0, "{}", ran.said);
        assert!(ran.said.contains(&format!("Becomes    {becomes}, for 1d\n")), "{}", ran.said);
        assert_eq!(site.state(&name).await, Some(state), "{options}");
    }
}

fn failed(status: u16) -> RecordState {
    RecordState::Failed { status: StatusCode::from_u16(status).ok() }
}

fn concluded(status: u16) -> RecordState {
    let outcome =
        planted::not_retained(StatusCode::from_u16(status).unwrap(), NotRetained::Settled);
    RecordState::of(&tower_idempotency::store::State::Success(outcome))
}

#[tokio::test(start_paused = true)]
async fn a_response_that_clients_get_is_not_settled() {
    let site = site().await;
    let digits = site.digits("paid");
    for command in ["settle K --status 200", "settle K --failed", "release K"] {
        let line = format!("{command} --reason r --yes --json").replace('K', &digits);
        let ran = run(&site, &line).await;
        assert_eq!(ran.code, 4, "{command}: {}", ran.said);
        let action = command.split(' ').next().unwrap();
        let key = site.key("paid").to_hex();
        let expected = serde_json::json!({
            "key": key, "action": action, "result": "has-response", "now": null,
        });
        assert_eq!(ran.json(), [expected]);
        assert!(ran.said.contains("erase the record to run the operation again"), "{}", ran.said);
    }
    assert_eq!(site.stored("paid").await.bytes(), br#"{"paid":true}"#);
    let ran = run(&site, &format!("erase {digits} --reason r --yes")).await;
    assert_eq!((ran.code, ran.out), (0, format!("erase {digits}: done\n")));
    assert_eq!(site.state("paid").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_body_is_found_before_anything_is_asked() {
    let site = site().await;
    let missing = "settle bc74cf4d --status 201 --body-file /missing/body --reason r";
    let ran = asked(&site, missing, "y\n").await;
    assert_eq!(ran.code, 1);
    assert!(ran.said.starts_with("error: /missing/body: "), "{}", ran.said);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("body");
    fs::write(&file, "x").unwrap();
    let line = format!("settle bc74cf4d --status 204 --body-file {} --reason r", file.display());
    let ran = asked(&site, &line, "y\n").await;
    let expected = "error: a response with the status 204 has no body: leave out --body-file\n";
    assert_eq!((ran.code, ran.said.as_str()), (2, expected));
    assert_eq!(site.state("cut-off").await, Some(RecordState::Abandoned));
}

#[tokio::test(start_paused = true)]
async fn a_scope_is_erased_whole() {
    let site = site().await;
    let line = "erase --scope alice --reason the_customer_asked_for_it";
    let ran = asked(&site, line, "y\n").await;
    let expected = format!(
        "\
Scope      31ffd5425791cad10a0c9a096ff47295
{STATS}
Becomes    no record: the store forgets the operation
Reason     the customer asked for it (by alice)

A retry of one of them runs it again, and has its effect again.

Erase them? [y/N] error: not deleted: 1, because attempts run or the records changed \
meanwhile: run it again; --even-in-flight deletes them now
"
    );
    assert_eq!(ran.said, expected);
    let out = "erase scope 31ffd5425791cad10a0c9a096ff47295: deleted 4\n";
    assert_eq!((ran.code, ran.out.as_str()), (4, out));

    let ran = run(&site, &format!("{line} --even-in-flight --yes --json")).await;
    let expected = serde_json::json!({
        "scope": "31ffd5425791cad10a0c9a096ff47295", "action": "erase", "erased": 1, "left": 0,
    });
    assert_eq!((ran.code, ran.json()), (0, vec![expected]));
    // Whether it asks or not, there is nothing left.
    assert_eq!(run(&site, &format!("{line} --yes")).await.code, 3);
    assert_eq!(asked(&site, line, "y\n").await.code, 3);
}

#[tokio::test(start_paused = true)]
async fn a_change_says_in_json_what_it_did() {
    let site = site().await;
    let ran = run(&site, "release bc74cf4d --reason r --yes --json").await;
    let key = site.key("cut-off").to_hex();
    let expected = format!(r#"{{"key":"{key}","action":"release","result":"applied","now":null}}"#);
    assert_eq!((ran.code, ran.out, ran.said.as_str()), (0, expected + "\n", ""));
}

#[tokio::test(start_paused = true)]
async fn a_reason_that_cannot_be_stored_is_rejected() {
    let site = site().await;
    for reason in ["_", "a\u{1b}[2J", &"r".repeat(1025)] {
        let ran = run(&site, &format!("release bc74cf4d --yes --reason {reason}")).await;
        assert_eq!(ran.code, 2, "{}", ran.said);
        let begin = "error: the name of the operator or the reason ";
        assert!(ran.said.starts_with(begin), "{}", ran.said);
    }
    assert_eq!(site.state("cut-off").await, Some(RecordState::Abandoned));
}
