//! Lines as those in them see them.
#![allow(clippy::expect_used)]

use std::sync::Arc;

use http::{HeaderMap, Method};
use tokio::task::yield_now;

use super::{Lines, News};
use crate::fingerprint::Fingerprint;
use crate::key::{IdempotencyKey, Scope, StorageKey};
use crate::store::{ErrorKind, Token};

fn key(name: &str) -> StorageKey {
    let key = IdempotencyKey::parse(name.as_bytes()).expect("a valid key");
    StorageKey::derive(None, "", &Scope::anonymous(), &key)
}

fn operation(body: &str) -> Fingerprint {
    Fingerprint::of_request(&Method::POST, "/", &HeaderMap::new(), &[], body.as_bytes())
}

fn lines_left(lines: &Lines) -> usize {
    lines.held().len()
}

#[tokio::test]
async fn the_first_has_the_turn_and_the_next_one_has_it_when_the_first_has_left() {
    let lines = Arc::new(Lines::default());
    let mut first = lines.join(key("k"), operation("o"));
    assert!(first.turn().await.is_none());
    assert!(first.turn().await.is_none(), "who has the turn keeps it");

    let mut second = lines.join(key("k"), operation("o"));
    let waiting = tokio::spawn(async move {
        assert!(second.turn().await.is_none());
        second
    });
    yield_now().await;
    assert!(!waiting.is_finished());
    drop(first);
    drop(waiting.await.expect("the second has the turn"));
    assert_eq!(lines_left(&lines), 0);
}

#[tokio::test]
async fn all_hear_the_news_and_whoever_comes_later_begins_anew() {
    let lines = Arc::new(Lines::default());
    let mut first = lines.join(key("k"), operation("o"));
    assert!(first.turn().await.is_none());
    let waiting: Vec<_> = (0..100)
        .map(|_| {
            let mut place = lines.join(key("k"), operation("o"));
            tokio::spawn(async move { place.turn().await })
        })
        .collect();
    yield_now().await;
    first.tell(|| News::Unavailable(ErrorKind::Timeout));
    let mut late = lines.join(key("k"), operation("o"));
    assert!(late.turn().await.is_none());
    drop(first);
    for waiter in waiting {
        let heard = waiter.await.expect("the waiter hears");
        assert!(matches!(heard, Some(News::Unavailable(ErrorKind::Timeout))), "{heard:?}");
    }
    assert_eq!(lines_left(&lines), 1, "the late one's");
    drop(late);
    assert_eq!(lines_left(&lines), 0);
}

#[tokio::test]
async fn keys_and_operations_have_lines_of_their_own() {
    let lines = Arc::new(Lines::default());
    let mut places = [("k", "o"), ("k", "p"), ("l", "o")].map(|(k, o)| lines.join(key(k), operation(o)));
    for place in &mut places {
        assert!(place.turn().await.is_none());
    }
}

#[tokio::test]
async fn progress_is_handed_on_with_the_turn() {
    let lines = Arc::new(Lines::default());
    let mut first = lines.join(key("k"), operation("o"));
    let mut second = lines.join(key("k"), operation("o"));
    assert!(first.turn().await.is_none());
    assert_eq!(first.awaited(), None);
    assert_eq!(first.waits_for(Token::new([1; 16])), 0);
    assert_eq!(first.waits_for(Token::new([2; 16])), 1);
    drop(first);
    assert!(second.turn().await.is_none());
    assert_eq!(second.awaited(), Some(Token::new([1; 16])), "the one that was awaited first");
    assert_eq!(second.waits_for(Token::new([2; 16])), 2);
}

#[tokio::test]
async fn one_who_gives_up_is_passed_over() {
    let lines = Arc::new(Lines::default());
    let mut first = lines.join(key("k"), operation("o"));
    assert!(first.turn().await.is_none());
    let mut impatient = lines.join(key("k"), operation("o"));
    let gives_up = tokio::spawn(async move { impatient.turn().await.is_none() });
    yield_now().await;
    let mut patient = lines.join(key("k"), operation("o"));
    let waits = tokio::spawn(async move { patient.turn().await.is_none() });
    yield_now().await;
    gives_up.abort();
    assert!(gives_up.await.is_err_and(|error| error.is_cancelled()));
    drop(first);
    assert!(waits.await.expect("the patient one has the turn"));
    assert_eq!(lines_left(&lines), 0);
}
