//! The example `hyper`, run as its first lines say.

use tokio::process::Command;

use crate::support::sandbox::{Sandbox, SandboxResponse, example};

async fn start() -> Sandbox {
    let mut command = Command::new(example("hyper"));
    Sandbox::run(command.env("LISTEN", "127.0.0.1:0"))
        .await
        .expect("the example ended without output")
}

async fn note(notes: &Sandbox, token: &str, text: &'static str) -> SandboxResponse {
    let head = notes.request("POST", "/notes").header("x-idempotency-key", "note-1001");
    notes.send(head.header("authorization", format!("Bearer {token}")), text).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_is_taken_once_and_replayed_and_another_one_under_its_key_is_rejected() {
    let mut notes = start().await;
    for (replayed, token) in
        [(false, "token-of-alice"), (true, "token-of-alice"), (true, "new-token-of-alice")]
    {
        let response = note(&notes, token, "buy milk").await;
        assert_eq!((response.status.as_u16(), response.is_replay()), (201, replayed));
        assert_eq!(response.body, "note 1: buy milk\n");
    }
    note(&notes, "token-of-alice", "buy rice").await.rejected_for_good("idempotency_key_reused");
    assert_eq!(note(&notes, "token-of-nobody", "buy rice").await.status, 401);
    assert_eq!(note(&notes, "token-of-bob", "buy rice").await.body, "note 2: buy rice\n");
    notes.signal("TERM");
    assert_eq!(notes.ended().await.code(), Some(0));
}
