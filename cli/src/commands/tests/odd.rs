//! Records that are hard to name, to read or to print.

use std::sync::Arc;

use tower_idempotency::store::RecordLabel;

use super::*;

#[tokio::test(start_paused = true)]
async fn digits_of_several_records_list_them_with_enough_digits() {
    let site = Site::on(DynStore::new(MemoryStore::new()));
    for last in [1, 2] {
        let mut bytes = [0xab; 32];
        bytes[5] = last;
        site.reserve(&site.request(StorageKey::from_bytes(bytes))).await;
    }
    let ran = run(&site, "show abababab").await;
    let expected = "\
error: 2 records begin with abababab: give more digits
KEY           STATE      ATTEMPT  CHANGED  EXPIRES  ROUTE
ababababab01  in-flight        1  <1s      1d       POST /payments/{id}/refunds
ababababab02  in-flight        1  <1s      1d       POST /payments/{id}/refunds
";
    assert_eq!((ran.code, ran.out.as_str(), ran.said.as_str()), (2, "", expected));
    assert_eq!(run(&site, "show ababababab02").await.code, 0);
}

#[tokio::test(start_paused = true)]
async fn control_characters_do_not_reach_the_terminal() {
    let site = Site::on(DynStore::new(MemoryStore::new()));
    // Another program has written this label.
    let mut label = RecordLabel::new("", "");
    label.route = "POST \u{1b}[2J\u{9b}31m/\u{202e}\n".into();
    label.namespace = "\u{7}".into();
    let key = StorageKey::from_bytes([7; 32]);
    site.reserve(&site.request(key).label(Arc::new(label))).await;
    let lines = ["list", "show 07070707", "list --json", "show 07070707 --json", "watch --times 1"];
    for line in lines {
        let ran = run_with(&site, line, 200, None, |layer| layer).await;
        let text = format!("{}{}", ran.out, ran.said);
        let is_dangerous = |char: char| (char.is_control() && char != '\n') || char == '\u{202e}';
        assert!(!text.contains(is_dangerous), "{line}: {text:?}");
        if line.ends_with("--json") {
            assert!(text.contains(r"POST \u001b[2J\u009b31m/\u202e\n"), "{text}");
        } else if line != "watch --times 1" {
            assert!(text.contains(r"POST \u{1b}[2J\u{9b}31m/\u{202e}\u{a}"), "{text}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_under_a_key_that_is_not_here_is_not_replaced_by_mistake() {
    let site = Site::on(DynStore::new(MemoryStore::new()));
    let keys = |id| {
        move |layer: IdempotencyLayer<DynStore>| layer.encrypt(EncryptionKeys::new(id, [7; 32]))
    };
    // As the service stores it: by settling under its key.
    site.abandoned("paid").await;
    let digits = site.digits("paid");
    let line = format!("settle {digits} --status 201 --reason r --yes");
    assert_eq!(run_with(&site, &line, 80, None, keys(1)).await.code, 0);

    let shown = run_with(&site, &format!("show {digits}"), 80, None, keys(1)).await.out;
    assert!(shown.contains(" B, encrypted or compressed\n"), "{shown}");
    let shown = run(&site, &format!("show {digits}")).await.out;
    assert!(shown.contains(" B, cannot be decrypted with these keys\n"), "{shown}");
    let json = &run(&site, &format!("show {digits} --json")).await.json()[0];
    assert_eq!(json["unreadable"], "decrypt");
    assert_eq!(json["record"]["packed"], true);

    let ran = run(&site, &line).await;
    assert_eq!(ran.code, 2);
    let begin = "error: the record has an encrypted response, and this command has no key: ";
    assert!(ran.said.starts_with(begin), "{}", ran.said);

    let line = format!("settle {digits} --status 200 --reason r --response-is-lost");
    let ran = asked(&site, &line, "y").await;
    assert_eq!(ran.code, 2);
    let begin = "error: the service encrypts responses, and this command has no key, so clients ";
    assert!(ran.said.starts_with(begin), "{}", ran.said);

    let ran = asked(&site, &format!("{line} --accept-plain"), "y").await;
    assert_eq!(ran.code, 0, "{}", ran.said);
    assert!(ran.said.contains("A response that the service can still read is lost.\n"));
    assert_eq!(site.stored("paid").await.status, StatusCode::OK);
}
