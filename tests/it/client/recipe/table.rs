//! The rows of tests/vectors/dispositions.json that are about a client like this script.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::super::{Canned, Turn};
use super::{begun, pay, place};
use crate::support::sandbox::order;

/// A response of the table, and what came before it.
struct Case {
    row: String,
    before: String,
    turn: Turn,
    status: u64,
    is: String,
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(all) => all.iter().map(|one| one.as_str().unwrap().to_owned()).collect(),
        one => one.as_str().map(str::to_owned).into_iter().collect(),
    }
}

/// What the table says of a client like this one: of named operations, at a server of this crate.
/// Each row is tried with each of its statuses after nothing and after a lost response; where the
/// history counts, one status also after everything else.
///
/// An order that is sent again after a 422 was started again, and to curl a response that broke off
/// is one that was lost.
fn cases() -> Vec<Case> {
    let table: Value =
        serde_json::from_str(include_str!("../../../vectors/dispositions.json")).unwrap();
    let mut cases = Vec::new();
    for row in table["rows"].as_array().unwrap() {
        let is_of_another = row["named"] == json!(false) || row["profile"].is_string();
        if is_of_another
            || row["redirected"] == json!(true)
            || row.get("body") == Some(&Value::Null)
        {
            continue;
        }
        let before = match row["before"].as_str() {
            Some("any") => {
                [texts(&table["before"]["clear"]), texts(&table["before"]["doubt"])].concat()
            }
            Some(set) if table["before"][set].is_array() => texts(&table["before"][set]),
            _ => texts(&row["before"]),
        };
        for (index, status) in row["status"].as_array().unwrap().iter().enumerate() {
            let is_wanted = |before: &&String| match before.as_str() {
                "nothing" | "lost" => true,
                "invalid" | "cut" => false,
                _ => index == 0 && row["before"] != "any",
            };
            // A status of 0 is a browser's.
            for before in before.iter().filter(is_wanted).filter(|_| status != &json!(0)) {
                cases.extend(responses(row, status).into_iter().map(|turn| Case {
                    row: row["what"].to_string(),
                    before: before.clone(),
                    turn,
                    status: status.as_u64().unwrap(),
                    is: row["is"].as_str().unwrap().to_owned(),
                }));
            }
        }
    }
    cases
}

/// The responses of a row: one for each of its codes.
fn responses(row: &Value, status: &Value) -> Vec<Turn> {
    let status = u16::try_from(status.as_u64().unwrap()).unwrap();
    let given = row["headers"].as_object().into_iter().flatten();
    let headers: Vec<_> =
        given.map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
    let codes = texts(&row["code"]);
    if codes.is_empty() {
        return vec![Turn::response(status, &headers, row["body"].as_str().unwrap_or_default())];
    }
    let headers = [&headers[..], &[("content-type", "application/problem+json")]].concat();
    // Where a response was not stored, the script needs its status.
    let problems =
        codes.iter().map(|code| json!({ "code": code, "original_status": 404 }).to_string());
    problems.map(|problem| Turn::response(status, &headers, &problem)).collect()
}

/// What the server does before the response of the row.
fn turns(before: &str) -> Vec<Turn> {
    match before {
        "nothing" | "restarted" => vec![],
        "limited" => vec![Turn::status(429)],
        "lost" => vec![Turn::Fail],
        "failed" => vec![Turn::status(500)],
        "gateway" => vec![Turn::status(504)],
        "in_flight" => {
            let problem = r#"{"code":"idempotency_key_in_flight"}"#;
            vec![Turn::response(409, &[("content-type", "application/problem+json")], problem)]
        }
        other => panic!("{other} is not in the table"),
    }
}

impl Case {
    async fn check(self) {
        let place = place();
        let mut script = turns(&self.before);
        if self.before == "restarted" {
            begun(place.path(), 60);
        }
        let attempts = script.len() + 1;
        script.push(self.turn.clone());
        let canned = Canned::turns(script);
        let (server, _) = canned.serve().await;
        let output =
            pay(place.path(), &format!("http://{}", server.address()), "order", &order()).await;
        let ends = |end: &str| place.path().join(format!("order.{end}")).exists();
        let [paid, ended] = [ends("paid"), ends("ended")];
        let disposition =
            match (canned.count() - attempts, output.status.code().unwrap(), paid, ended) {
                (0, 0, true, false) | (0, 3, false, true) => "final",
                (1, 0, true, false) => "retry",
                (0, 1, false, false) => "unknown",
                _ => "something else",
            };
        // The script does not know what a redirect means for a payment.
        let is_redirect = self.is == "final" && (300..400).contains(&self.status);
        let expected = if is_redirect { "unknown" } else { &self.is };
        assert_eq!(
            disposition, expected,
            "{} after {}: {:?}: {output:?}",
            self.row, self.before, self.turn
        );
        assert!(ends("key"), "{}", self.row);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_judges_responses_as_the_table_says() {
    let (places, mut checks) = (Arc::new(Semaphore::new(6)), JoinSet::new());
    for case in cases() {
        let places = Arc::clone(&places);
        checks.spawn(async move {
            let _place = places.acquire_owned().await;
            case.check().await;
        });
    }
    assert!(checks.len() > 300, "only {} cases", checks.len());
    checks.join_all().await;
}
