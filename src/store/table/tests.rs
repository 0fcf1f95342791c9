#![allow(clippy::unwrap_used)]

use super::*;

fn every_outcome() -> Vec<Outcome> {
    let mut headers = HeaderMap::new();
    headers.append("content-type", HeaderValue::from_static("application/json"));
    headers.append("x-one", HeaderValue::from_static("a: b, c"));
    headers.append("x-one", HeaderValue::from_static(""));
    headers.append("x-beyond", HeaderValue::from_bytes(b"\xff \xe4\t~").unwrap());
    let trailers = Some(headers.clone());
    let bodies = [
        KeptBody::Whole { bytes: Bytes::from_static(b"\0\xff\n"), trailers },
        KeptBody::Whole { bytes: Bytes::new(), trailers: None },
        KeptBody::NotRetained(NotRetained::TooLarge),
        KeptBody::NotRetained(NotRetained::Streamed),
        KeptBody::NotRetained(NotRetained::Failure),
        KeptBody::NotRetained(NotRetained::Lost),
    ];
    let outcome = |body| Outcome {
        status: StatusCode::CREATED,
        headers: headers.clone(),
        request_id: Some(HeaderValue::from_bytes(b"r\xfc").unwrap()),
        body,
    };
    bodies.map(outcome).into()
}

fn row(status: &str, answer: Option<Answer>) -> Row {
    Row {
        status: status.into(),
        attempt: 2,
        token: vec![7; 16],
        fingerprint: vec![1; Fingerprint::LEN],
        lapsed: true,
        answer,
    }
}

#[test]
fn every_answer_comes_back_as_it_was() {
    for outcome in every_outcome() {
        let record = row("success", Some(Answer::of(&outcome))).record().unwrap();
        let State::Success(read) = record.state else { panic!("not a success") };
        assert_eq!(read, outcome);
        assert_eq!(record.attempt, 2);
    }
}

#[test]
fn headers_are_lines_that_a_person_can_read() {
    let answer = Answer::of(&every_outcome()[0]);
    assert_eq!(answer.headers, "content-type: application/json\nx-one: a: b, c\nx-one: \nx-beyond: ÿ ä\t~\n");
}

#[test]
fn a_lapsed_pending_row_is_abandoned_and_a_failed_one_needs_no_answer() {
    let pending = row("pending", None).record().unwrap();
    assert!(matches!(pending.state, State::Pending { abandoned: true }));
    assert!(matches!(row("failed", None).record().unwrap().state, State::Failed(None)));
}

#[test]
fn what_is_never_written_is_malformed() {
    let whole = || Answer::of(&every_outcome()[0]);
    let damaged: [fn(&mut Row); 14] = [
        |row| row.status = "done".into(),
        |row| row.status = "pending".into(),
        |row| row.answer = None,
        |row| row.attempt = -1,
        |row| row.token = vec![0; 15],
        |row| row.fingerprint = vec![0; 32],
        |row| row.answer.as_mut().unwrap().status = 99,
        |row| row.answer.as_mut().unwrap().status = 1000,
        |row| row.answer.as_mut().unwrap().headers = "no colon".into(),
        |row| row.answer.as_mut().unwrap().headers = "a b: c\n".into(),
        |row| row.answer.as_mut().unwrap().headers = "name: \u{100}\n".into(),
        |row| row.answer.as_mut().unwrap().body = None,
        |row| row.answer.as_mut().unwrap().missing = Some("lost".into()),
        |row| {
            let answer = row.answer.as_mut().unwrap();
            (answer.body, answer.missing) = (None, Some("eaten".into()));
        },
    ];
    for (number, damage) in damaged.into_iter().enumerate() {
        let mut row = row("success", Some(whole()));
        damage(&mut row);
        assert!(row.record().is_err(), "number {number} is read");
    }
}

#[test]
fn only_plain_names_become_identifiers() {
    for name in ["records", "_r", "Records2", &"a".repeat(40)] {
        assert_eq!(Identifier::new(name).unwrap().to_string(), format!("\"{name}\""));
    }
    for name in ["", "2nd", "a b", "a\"b", "a.b", "a;b", "ä", "a\0", &"a".repeat(41)] {
        assert_eq!(Identifier::new(name), Err(InvalidIdentifier), "{name:?}");
    }
}
