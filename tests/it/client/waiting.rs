//! How long is waited, and when it is enough. The clock is paused, and the service in the same
//! process.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use axum::body::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::Full;
use tokio::time::{Instant, Sleep};
use tower::retry::budget::TpsBudget;
use tower::service_fn;
use tower_idempotency::client::{ClientLayer, Disposition, ErrorKind};

use super::{Canned, Received, Turn, ask, patient, post};

const SECOND: Duration = Duration::from_secs(1);

fn in_flight(retry_after: &str) -> Turn {
    Turn::response(409, &[("retry-after", retry_after)], "")
}

async fn asked(layer: ClientLayer, canned: &Canned) -> Received {
    ask(layer, canned.clone(), post("/")).await.unwrap()
}

/// Asserts that a wait is this long, and up to 100 ms longer. A clock in whole milliseconds adds
/// one.
#[track_caller]
fn assert_about(waited: Duration, asked: Duration) {
    assert!(
        waited >= asked && waited <= asked + Duration::from_millis(102),
        "{waited:?} for {asked:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_asked_for_is_waited_for_in_seconds_and_as_a_date() {
    let ten_seconds_later = [
        ("date", "Mon, 23 Nov 2026 12:00:00 GMT"),
        ("retry-after", "Mon, 23 Nov 2026 12:00:10 GMT"),
    ];
    let canned = Canned::turns([
        in_flight("3"),
        Turn::response(503, &[("retry-after", "5")], ""),
        Turn::response(429, &ten_seconds_later, ""),
    ]);
    asked(patient(), &canned).await.assert_done("done", 4);
    let waits = canned.waits();
    for (wait, seconds) in waits.iter().zip([3, 5, 10]) {
        assert_about(*wait, SECOND * seconds);
    }
}

#[tokio::test(start_paused = true)]
async fn a_date_without_a_date_of_the_response_is_judged_by_the_clock() {
    let later = httpdate::fmt_http_date(SystemTime::now() + 8 * SECOND);
    let canned = Canned::turns([in_flight(&later)]);
    asked(patient(), &canned).await.assert_done("done", 2);
    // The date knows whole seconds, and the clock goes on meanwhile.
    let wait = canned.waits()[0];
    assert!(wait > 5 * SECOND && wait <= 9 * SECOND, "{wait:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_for_is_bounded() {
    let canned = Canned::turns([in_flight("500"), in_flight("31")]);
    asked(patient().total_timeout(SECOND * 600), &canned).await.assert_done("done", 3);
    for wait in canned.waits() {
        assert_about(wait, SECOND * 30);
    }

    let canned = Canned::turns([in_flight("30")]);
    asked(patient().max_retry_after(2 * SECOND), &canned).await.assert_done("done", 2);
    assert_about(canned.waits()[0], 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_would_end_too_late_is_not_begun() {
    let canned = Canned::turns([in_flight("20"), in_flight("25"), in_flight("21")]);
    let began = Instant::now();
    let response = asked(patient(), &canned).await;
    assert_eq!(
        (response.status.as_u16(), response.disposition, response.attempts),
        (409, Some(Disposition::Retry), Some(3))
    );
    assert!(began.elapsed() < 46 * SECOND, "it is known at once: {:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_longer_than_the_time_left_is_given_to_the_caller_at_once() {
    for asked_for in ["61", "86400", "99999999999999999999999"] {
        let canned = Canned::turns([in_flight(asked_for)]);
        let began = Instant::now();
        let response = asked(patient(), &canned).await;
        let said = (response.status.as_u16(), response.disposition, response.attempts);
        assert_eq!(said, (409, Some(Disposition::Retry), Some(1)), "{asked_for}");
        assert_eq!(response.headers["retry-after"], asked_for);
        assert_eq!(began.elapsed().as_secs(), 0, "{asked_for}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_shorter_than_the_backoff_changes_nothing() {
    for shorter in ["0", "Mon, 23 Nov 1998 12:00:10 GMT"] {
        let canned = Canned::ever(Turn::response(503, &[("retry-after", shorter)], ""));
        let response = asked(patient(), &canned).await;
        assert_eq!(
            (response.status.as_u16(), response.disposition),
            (503, Some(Disposition::Retry))
        );
        // The waits grow to five seconds, and each lasts a random part of that: about 26
        // attempts in a minute.
        assert!((12..60).contains(&canned.count()), "{shorter}: {}", canned.count());
    }
}

/// A body whose pieces come 8 s after one another.
struct Slow {
    pieces: VecDeque<Bytes>,
    wait: Option<Pin<Box<Sleep>>>,
}

impl http_body::Body for Slow {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.pieces.is_empty() {
            return Poll::Ready(None);
        }
        let wait = self.wait.get_or_insert_with(|| Box::pin(tokio::time::sleep(8 * SECOND)));
        ready!(wait.as_mut().poll(cx));
        self.wait = None;
        Poll::Ready(self.pieces.pop_front().map(|piece| Ok(Frame::data(piece))))
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_that_comes_slowly_but_steadily_is_not_given_up() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    // Its head takes 8 s, and each of its 4 pieces as long.
    let slow = service_fn(move |_: Request<Full<Bytes>>| {
        counter.fetch_add(1, Ordering::SeqCst);
        async {
            tokio::time::sleep(8 * SECOND).await;
            let pieces = ["d", "o", "n", "e"].map(Bytes::from).into();
            Ok::<_, Infallible>(
                Response::builder().status(201).body(Slow { pieces, wait: None }).unwrap(),
            )
        }
    });
    let began = Instant::now();
    ask(patient(), slow.clone(), post("/")).await.unwrap().assert_done("done", 1);
    assert_eq!(began.elapsed().as_secs(), 40);
    // All of it is bounded by the total.
    let error = ask(patient().total_timeout(20 * SECOND), slow, post("/")).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Timeout, 1));
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_large_request_has_the_time_that_its_upload_takes() {
    for (size, seconds) in [(0, 10), (16 << 10, 11), (512 << 10, 42)] {
        let canned = Canned::ever(Turn::Hang);
        let request = Request::post("/").body(Full::<Bytes>::from(vec![0_u8; size])).unwrap();
        let layer = patient().max_attempts(1.try_into().unwrap());
        let began = Instant::now();
        let error = ask(layer, canned, request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert_eq!(began.elapsed().as_secs(), seconds, "{size}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_value_is_ignored() {
    for value in ["soon", "-1", "1.5", ""] {
        let canned = Canned::turns([Turn::response(503, &[("retry-after", value)], "")]);
        asked(patient(), &canned).await.assert_done("done", 2);
        assert!(canned.waits()[0] <= Duration::from_millis(102), "{value:?}: {:?}", canned.waits());
    }
}

#[tokio::test(start_paused = true)]
async fn waits_grow_up_to_their_ceiling_and_differ() {
    let mut longest = [Duration::ZERO; 9];
    for _ in 0..40 {
        let canned = Canned::turns(vec![Turn::status(503); 9]);
        asked(patient(), &canned).await.assert_done("done", 10);
        for ((wait, most), longest) in canned
            .waits()
            .iter()
            .zip([100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000])
            .zip(&mut longest)
        {
            assert!(*wait <= Duration::from_millis(most + 2), "{wait:?} of {most}");
            *longest = (*longest).max(*wait);
        }
    }
    // All of 40 are below half of their ceiling once in 10^12 runs.
    assert!(
        longest[0] > Duration::from_millis(50) && longest[8] > Duration::from_millis(2500),
        "{longest:?}"
    );
    assert!(longest[0] != longest[1]);
}

#[tokio::test(start_paused = true)]
async fn backoff_can_be_set() {
    let canned = Canned::turns(vec![Turn::Fail; 5]);
    asked(patient().backoff(SECOND, 2 * SECOND), &canned).await.assert_done("done", 6);
    let waits = canned.waits();
    assert!(waits[0] <= SECOND + Duration::from_millis(2), "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= 2 * SECOND + Duration::from_millis(2)), "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn all_of_it_ends_with_the_last_response_when_the_time_is_over() {
    let canned = Canned::ever(Turn::status(503));
    let began = Instant::now();
    let response = asked(patient(), &canned).await;
    assert_eq!((response.status.as_u16(), response.disposition), (503, Some(Disposition::Retry)));
    assert_eq!(response.attempts.unwrap() as usize, canned.count());
    assert!(canned.count() > 10, "{}", canned.count());
    assert!(began.elapsed() <= 60 * SECOND, "{:?}", began.elapsed());
    assert!(began.elapsed() >= 50 * SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_asked_again_after_each_bound_and_the_last_attempt_is_cut_to_what_is_left()
 {
    let canned = Canned::ever(Turn::Hang);
    let began = Instant::now();
    let layer = patient().attempt_timeout(10 * SECOND).total_timeout(25 * SECOND);
    let error = ask(layer, canned.clone(), post("/")).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.attempts(), error.is_in_doubt()),
        (ErrorKind::Timeout, 3, true)
    );
    assert_eq!(canned.count(), 3);
    assert_eq!(canned.ended(), 3, "what was given up is dropped");
    assert!((25_000..=25_002).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());

    let canned = Canned::turns([
        Turn::Hang,
        Turn::done().after(11 * SECOND),
        Turn::done().after(9 * SECOND),
    ]);
    asked(patient(), &canned).await.assert_done("done", 3);
}

#[tokio::test(start_paused = true)]
async fn bounds_without_end_do_not_overflow() {
    let layer = patient().attempt_timeout(Duration::MAX).total_timeout(Duration::MAX);
    let layer = layer.max_retry_after(Duration::MAX).retention(Duration::MAX);
    let canned =
        Canned::turns([in_flight("86400"), Turn::Fail, Turn::done().after(SECOND * 100_000)]);
    asked(layer, &canned).await.assert_done("done", 3);
    assert_about(canned.waits()[0], SECOND * 86400);
}

#[tokio::test(start_paused = true)]
async fn a_number_of_attempts_can_be_set() {
    for most in [1, 2, 5] {
        let canned = Canned::ever(Turn::status(503));
        let response = asked(patient().max_attempts(most.try_into().unwrap()), &canned).await;
        assert_eq!((response.attempts, canned.count()), (Some(most), most as usize));
    }
}

#[tokio::test(start_paused = true)]
async fn without_budget_there_is_one_attempt_and_its_response_or_its_error() {
    let layer = || ClientLayer::new().budget(TpsBudget::new(10 * SECOND, 0, 0.0));
    let canned = Canned::turns([Turn::status(503)]);
    let response = asked(layer(), &canned).await;
    assert_eq!(
        (response.status.as_u16(), response.disposition, response.attempts),
        (503, Some(Disposition::Retry), Some(1))
    );
    let canned = Canned::turns([Turn::Fail]);
    let error = ask(layer(), canned.clone(), post("/")).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts(), canned.count()), (ErrorKind::Connection, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn the_budget_is_one_for_all_clones_and_bounds_what_an_outage_costs() {
    // Ten retries in ten seconds.
    let layer =
        ClientLayer::new().budget(TpsBudget::new(10 * SECOND, 1, 0.0)).total_timeout(9 * SECOND);
    let canned = Canned::ever(Turn::status(503));
    let mut operations = tokio::task::JoinSet::new();
    for _ in 0..30 {
        operations.spawn(ask(layer.clone(), canned.clone(), post("/")));
    }
    for response in operations.join_all().await {
        assert_eq!(response.unwrap().status, 503);
    }
    assert_eq!(canned.count(), 30 + 10);
    // Final responses take nothing from the budget.
    asked(layer, &Canned::turns([])).await.assert_done("done", 1);
}
