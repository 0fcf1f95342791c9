#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio::sync::{Semaphore, mpsc};

use super::*;

fn tell(events: &Events) {
    let key = StorageKey::from_bytes([7; 32]);
    events.tell(|| {
        let about = About { key, scope: None, label: None, attempt: None };
        (about, EventKind::Unguarded)
    });
}

/// A subscriber that passes on what it is told, one notice for each permit.
fn gated(events: &Events) -> (Arc<Semaphore>, mpsc::UnboundedReceiver<Notice>) {
    let gate = Arc::new(Semaphore::new(0));
    let (told, notices) = mpsc::unbounded_channel();
    let opened = Arc::clone(&gate);
    events.subscribe(move |notice| {
        let (opened, told) = (Arc::clone(&opened), told.clone());
        async move {
            opened.acquire().await.unwrap().forget();
            told.send(notice).unwrap();
        }
    });
    (gate, notices)
}

#[test]
fn a_line_of_the_log_says_who_changed_a_record_and_why() {
    let event = |attempt, kind| Event {
        number: 7,
        at: std::time::UNIX_EPOCH,
        key: StorageKey::from_bytes([7; 32]),
        scope: None,
        label: None,
        attempt,
        token: None,
        kind,
    };
    let status = http::StatusCode::CREATED;
    let changed = EventKind::Changed {
        action: crate::store::operator::OperatorAction::Release,
        by: "alice".into(),
        reason: "not found at the provider".into(),
        token: None,
    };
    for (attempt, kind, line) in [
        (Some(2), EventKind::Renewed, "7 renewed 07070707 attempt 2"),
        (
            Some(1),
            EventKind::Completed { status, not_retained: None },
            "7 completed 07070707 attempt 1: 201",
        ),
        (Some(1), EventKind::Failed { status: None }, "7 failed 07070707 attempt 1"),
        (
            Some(1),
            EventKind::WriteRetried(crate::store::StoreErrorKind::Timeout),
            "7 write-retried 07070707 attempt 1: timeout",
        ),
        (
            None,
            EventKind::Rejected { code: "idempotency_key_in_flight" },
            "7 rejected 07070707: idempotency_key_in_flight",
        ),
        (
            Some(1),
            changed,
            "7 changed 07070707 attempt 1: release by alice: not found at the provider",
        ),
    ] {
        assert_eq!(event(attempt, kind).to_string(), line);
    }
}

#[test]
fn without_a_subscriber_no_event_is_made() {
    Events::default().tell(|| unreachable!("it is told to nobody"));
}

#[tokio::test(start_paused = true)]
async fn lost_events_are_told_in_their_place() {
    let events = Events::default();
    let (gate, mut notices) = gated(&events);
    tell(&events);
    // The subscriber has the first event in hand, so that the queue is empty again.
    while Arc::strong_count(&gate) < 3 {
        tokio::time::sleep(queue::LINGER).await;
    }
    for _ in 0..queue::CAPACITY + 3 {
        tell(&events);
    }
    gate.add_permits(1 + queue::CAPACITY + 1);
    let mut numbers = Vec::new();
    for _ in 0..=queue::CAPACITY {
        let Notice::Event(event) = notices.recv().await.unwrap() else { panic!("lost too early") };
        numbers.push(event.number);
    }
    assert!(numbers.is_sorted_by(|one, next| one < next));
    assert!(matches!(notices.recv().await, Some(Notice::Lost(3))));
    // The next one comes after them.
    tell(&events);
    gate.add_permits(1);
    let Some(Notice::Event(event)) = notices.recv().await else { panic!("an event") };
    assert!(event.number > numbers.last().unwrap() + 3);
}

#[tokio::test]
async fn a_subscriber_that_panics_is_told_the_next_event() {
    let events = Events::default();
    let told = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&told);
    events.subscribe(move |_| {
        let number = counted.fetch_add(1, Ordering::Relaxed);
        assert_ne!(number, 0, "it panics at the first event");
        async {}
    });
    tell(&events);
    tell(&events);
    events.drained().await;
    assert_eq!(told.load(Ordering::Relaxed), 2);
}

#[test]
fn what_a_runtime_leaves_is_told_in_the_next_one() {
    let events = Events::default();
    let (gate, mut notices) = gated(&events);
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime().block_on(async { (0..3).for_each(|_| tell(&events)) });
    gate.add_permits(3);
    runtime().block_on(events.drained());
    assert_eq!(notices.len(), 3);
    assert!(notices.try_recv().is_ok());
}

#[tokio::test]
async fn the_subscriber_is_dropped_with_the_layer() {
    let events = Events::default();
    let (gate, mut notices) = gated(&events);
    gate.add_permits(1);
    tell(&events);
    drop(events);
    assert!(notices.recv().await.is_some());
    assert!(notices.recv().await.is_none());
}
