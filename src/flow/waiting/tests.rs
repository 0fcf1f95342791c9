//! Lines as their members see them.
#![allow(clippy::expect_used)]

use std::future::pending;
use std::sync::Arc;

use http::{HeaderMap, Method};
use tokio::task::yield_now;

use super::{FRESH, Lines, Member, News, Turn};
use crate::record::fingerprint::Fingerprint;
use crate::record::key::{IdempotencyKey, Scope, StorageKey};
use crate::store::{PendingRef, StoreErrorKind, Token};

fn key(name: &str) -> StorageKey {
    let key = IdempotencyKey::parse(name.as_bytes()).expect("a valid key");
    StorageKey::derive(None, "", &Scope::anonymous(), &key)
}

fn operation(body: &str) -> Fingerprint {
    Fingerprint::of_request(&Method::POST, "/", &HeaderMap::new(), &[], body.as_bytes())
}

fn lines_left(lines: &Lines) -> usize {
    lines.lock().len()
}

fn joined(lines: &Arc<Lines>) -> Member {
    lines.join(key("k"), operation("o"))
}

/// Waits without an interruption.
async fn turn(member: &mut Member) -> Turn<()> {
    member.turn(pending()).await
}

async fn takes_turn(mut member: Member) -> Member {
    let turn = turn(&mut member).await;
    assert!(matches!(turn, Turn::Mine), "{turn:?}");
    member
}

fn seen(token: u8) -> PendingRef {
    PendingRef { key: key("k"), token: Token::new([token; 16]) }
}

#[tokio::test]
async fn the_first_has_the_turn_and_the_next_one_has_it_when_the_first_has_left() {
    let lines = Arc::new(Lines::default());
    let first = takes_turn(joined(&lines)).await;
    let waiting = tokio::spawn(takes_turn(joined(&lines)));
    yield_now().await;
    assert!(!waiting.is_finished());
    drop(first);
    drop(waiting.await.expect("the second has the turn"));
    assert_eq!(lines_left(&lines), 0);
}

#[tokio::test]
async fn all_members_hear_the_news_and_a_later_request_begins_a_new_line() {
    let lines = Arc::new(Lines::default());
    let first = takes_turn(joined(&lines)).await;
    let waiting: Vec<_> = (0..100)
        .map(|_| {
            let mut member = joined(&lines);
            tokio::spawn(async move { turn(&mut member).await })
        })
        .collect();
    yield_now().await;
    first.tell(|| News::Unavailable(StoreErrorKind::Timeout, None));
    let late = takes_turn(joined(&lines)).await;
    drop(first);
    for waiter in waiting {
        let heard = waiter.await.expect("the waiter hears");
        assert!(
            matches!(heard, Turn::News(News::Unavailable(StoreErrorKind::Timeout, None))),
            "{heard:?}"
        );
    }
    assert_eq!(lines_left(&lines), 1, "the line of the late request");
    drop(late);
    assert_eq!(lines_left(&lines), 0);
}

#[tokio::test]
async fn a_member_that_joined_before_the_news_hears_them_although_the_turn_is_free() {
    let lines = Arc::new(Lines::default());
    let first = takes_turn(joined(&lines)).await;
    let mut second = joined(&lines);
    first.tell(|| News::Unavailable(StoreErrorKind::Timeout, None));
    drop(first);
    assert!(matches!(turn(&mut second).await, Turn::News(_)));
}

#[tokio::test]
async fn an_interruption_wins_over_a_turn_that_becomes_free() {
    let lines = Arc::new(Lines::default());
    let first = takes_turn(joined(&lines)).await;
    let mut second = joined(&lines);
    let (interrupt, interrupted) = tokio::sync::oneshot::channel::<()>();
    let mut waiting = tokio_test::task::spawn(second.turn(interrupted));
    assert!(waiting.poll().is_pending());
    drop(first);
    drop(interrupt);
    assert!(matches!(waiting.await, Turn::Interrupted(_)));
}

#[tokio::test]
async fn keys_and_operations_have_lines_of_their_own() {
    let lines = Arc::new(Lines::default());
    let members =
        [("k", "o"), ("k", "p"), ("l", "o")].map(|(k, o)| lines.join(key(k), operation(o)));
    let mut with_turn = Vec::new();
    for member in members {
        with_turn.push(takes_turn(member).await);
    }
    assert_eq!(lines_left(&lines), 3);
}

#[tokio::test(start_paused = true)]
async fn progress_passes_on_with_the_turn() {
    let lines = Arc::new(Lines::default());
    let mut first = takes_turn(joined(&lines)).await;
    let (second, third) = (joined(&lines), joined(&lines));
    assert_eq!(first.awaited(), None);
    first.saw(seen(1));
    assert_eq!(first.next_round(), 0);
    first.saw(seen(2));
    assert_eq!(first.next_round(), 1);
    drop(first);

    let mut second = takes_turn(second).await;
    assert_eq!(second.awaited(), Some(seen(1).token), "the one that was awaited first");
    assert_eq!(
        second.seen().map(|seen| seen.token),
        Some(seen(2).token),
        "what was seen a moment ago"
    );
    assert_eq!(second.next_round(), 2);
    tokio::time::advance(FRESH).await;
    assert!(second.seen().is_none(), "that was long ago");
    second.makes(seen(3).token, false);
    assert_eq!(second.awaited(), Some(seen(1).token), "made in place of a failed one");
    second.makes(seen(4).token, true);
    drop(second);
    assert_eq!(takes_turn(third).await.awaited(), Some(seen(4).token), "the key had been free");
}

#[tokio::test]
async fn a_member_that_gives_up_is_skipped() {
    let lines = Arc::new(Lines::default());
    let first = takes_turn(joined(&lines)).await;
    let gives_up = tokio::spawn(takes_turn(joined(&lines)));
    yield_now().await;
    let waits = tokio::spawn(takes_turn(joined(&lines)));
    yield_now().await;
    gives_up.abort();
    assert!(gives_up.await.is_err_and(|error| error.is_cancelled()));
    drop(first);
    drop(waits.await.expect("the member that waits has the turn"));
    assert_eq!(lines_left(&lines), 0);
}

#[test]
fn a_line_that_all_members_leave_at_once_is_removed() {
    let lines = Arc::new(Lines::default());
    for _ in 0..2000 {
        let members: Vec<_> = (0..4).map(|_| joined(&lines)).collect();
        std::thread::scope(|threads| {
            for member in members {
                threads.spawn(move || drop(member));
            }
        });
        assert_eq!(lines_left(&lines), 0);
    }
}
