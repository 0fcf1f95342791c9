//! Commands that reached Redis, but whose replies did not come back.

use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use tower_idempotency::store::{
    Lease, Outcome, Record, Reservation, ReserveRequest, Settlement, State, StorageKey, Store,
    StoreErrorKind, StoredBody,
};
use tower_idempotency::{Fingerprint, IdempotencyKey, PreviousAttempt, RedisStore, Scope};

use crate::support::redis::RedisServer;
use crate::support::wire::{State as Network, Way, Wire};
use crate::support::{patiently, with};

/// A server that is reached through a network that loses replies, and directly beside it.
struct Apart {
    _server: RedisServer,
    wire: Wire,
    through: RedisStore,
    beside: RedisStore,
}

impl Apart {
    async fn start() -> Self {
        let server = RedisServer::start();
        let wire = Wire::start(server.port()).await;
        let through = RedisStore::open(&wire.url()).unwrap();
        let beside = RedisStore::open(&server.url()).unwrap();
        // Before 7.0, a first reservation finds out the age of the server, and teaches it the
        // scripts.
        for store in [&through, &beside] {
            let first = acquired(store.reserve(&request()).await.unwrap());
            assert_eq!(store.release(&first).await.unwrap(), Settlement::Applied);
        }
        Self { _server: server, wire, through, beside }
    }

    /// Does something whose first reply is lost, and the connection with it.
    async fn losing_the_reply<T: Send + 'static>(
        &self,
        work: impl AsyncFnOnce(RedisStore) -> T,
    ) -> T {
        let before = self.wire.seen().replies;
        self.wire.set(Network::Open { requests: Way::Pass, replies: Way::Lose });
        let heal = async {
            self.wire.reached(|seen| seen.replies > before).await;
            self.wire.set(Network::FINE);
        };
        tokio::join!(work(self.through.clone()), heal).0
    }

    /// Does something whose reply is lost, and which then cannot reach the server any more.
    async fn losing_the_reply_and_the_connection<T>(&self, work: impl Future<Output = T>) -> T {
        let before = self.wire.seen().replies;
        self.wire.set(Network::Open { requests: Way::Pass, replies: Way::Lose });
        let cut = async {
            self.wire.reached(|seen| seen.replies > before).await;
            self.wire.set(Network::Closed);
        };
        tokio::join!(work, cut).0
    }

    async fn is_free(&self) {
        patiently(async { while self.record().await.is_some() {} }).await;
    }

    async fn record(&self) -> Option<Record> {
        self.beside.inspect(&request().key).await.unwrap()
    }
}

fn request() -> ReserveRequest {
    let key = IdempotencyKey::parse(b"order-1001").unwrap();
    ReserveRequest::new(
        StorageKey::derive(None, "lost-replies", &Scope::anonymous(), &key),
        Fingerprint::of_request(&Method::POST, "/", &HeaderMap::new(), &[], b""),
    )
    .lease(Duration::from_mins(1))
    .retention(Duration::from_mins(2))
}

fn outcome(bytes: usize) -> Outcome {
    let body = StoredBody::Whole { bytes: vec![b'x'; bytes].into(), trailers: None };
    Outcome::new(StatusCode::CREATED, body)
}

#[track_caller]
fn acquired(reservation: Reservation) -> Lease {
    match reservation {
        Reservation::Acquired(lease) => lease,
        Reservation::Found(record) => panic!("another attempt's record was found: {record:?}"),
    }
}

const RETENTION: Duration = Duration::from_mins(1);

#[tokio::test]
async fn a_reservation_is_known_as_ones_own_and_so_is_the_stored_response() {
    for bytes in [10, 100_000] {
        let apart = Apart::start().await;
        let reserved =
            apart.losing_the_reply(async |store| store.reserve(&request()).await.unwrap()).await;
        let lease = acquired(reserved);
        assert_eq!((lease.attempt, lease.previous), (1, None));
        assert_eq!(apart.record().await.unwrap().token, lease.token);

        let renewed =
            apart.losing_the_reply(async |store| store.renew(&lease).await.unwrap()).await;
        assert_eq!(renewed, Settlement::Applied);
        let stored = outcome(bytes);
        connect_for_bodies(&apart.through).await;
        let complete =
            async |store: RedisStore| store.complete(&lease, &stored, RETENTION).await.unwrap();
        assert_eq!(apart.losing_the_reply(complete).await, Settlement::Applied);
        assert!(
            matches!(apart.record().await.unwrap().state, State::Success(found) if found == stored)
        );
    }
}

/// Bodies have a connection of their own, and its handshake has replies too.
async fn connect_for_bodies(store: &RedisStore) {
    let key = IdempotencyKey::parse(b"another").unwrap();
    let key = StorageKey::derive(None, "lost-replies", &Scope::anonymous(), &key);
    let lease =
        acquired(store.reserve(&with(request(), |request| request.key = key)).await.unwrap());
    assert_eq!(
        store.complete(&lease, &outcome(5000), RETENTION).await.unwrap(),
        Settlement::Applied
    );
}

#[tokio::test]
async fn a_record_that_was_taken_over_is_known_as_ones_own() {
    let apart = Apart::start().await;
    let first = acquired(apart.beside.reserve(&request()).await.unwrap());
    assert_eq!(apart.beside.fail(&first, None, RETENTION).await.unwrap(), Settlement::Applied);

    // The first reply tells of the failed record. The second one is lost; it comes from the script
    // that takes the record over.
    let before = apart.wire.seen().replies;
    let lose_the_second = async {
        apart.wire.reached(|seen| seen.replies > before).await;
        apart.wire.set(Network::Open { requests: Way::Pass, replies: Way::Lose });
        apart.wire.reached(|seen| seen.replies > before + 1).await;
        apart.wire.set(Network::FINE);
    };
    let request = request();
    let (reserved, ()) = tokio::join!(apart.through.reserve(&request), lose_the_second);
    let reserved = reserved.unwrap();
    let second = acquired(reserved);
    assert_eq!(
        (second.attempt, second.previous),
        (2, Some(PreviousAttempt::Failed { status: None }))
    );
    assert_eq!(apart.record().await.unwrap().token, second.token);
}

#[tokio::test]
async fn a_write_whose_reply_was_lost_stays_without_one_though_it_cannot_be_sent_again() {
    let apart = Apart::start().await;
    let lease = acquired(apart.through.reserve(&request()).await.unwrap());
    let stored = outcome(10);
    let complete = apart.through.complete(&lease, &stored, RETENTION);
    let completed = apart.losing_the_reply_and_the_connection(complete).await;
    assert_eq!(completed.unwrap_err().kind(), StoreErrorKind::Timeout);
    assert!(apart.record().await.is_some());
}

#[tokio::test]
async fn a_reservation_whose_reply_was_lost_is_taken_back_though_it_could_not_be_sent_again() {
    let apart = Apart::start().await;
    let request = request();
    let reserved = apart.losing_the_reply_and_the_connection(apart.through.reserve(&request)).await;
    assert_eq!(reserved.unwrap_err().kind(), StoreErrorKind::Timeout);
    assert!(apart.record().await.is_some(), "it was made");
    apart.wire.set(Network::FINE);
    apart.is_free().await;
}

/// A reservation that reaches the server while its reply does not come in time.
async fn lost_reply(apart: &Apart) {
    apart.wire.set(Network::Open { requests: Way::Pass, replies: Way::Hold });
    let error = apart.through.reserve(&request()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Timeout);
}

#[tokio::test]
async fn a_first_reservation_without_a_reply_is_taken_back() {
    let apart = Apart::start().await;
    lost_reply(&apart).await;
    assert!(apart.record().await.is_some(), "it was made");
    apart.wire.set(Network::FINE);
    apart.is_free().await;
    assert_eq!(acquired(apart.beside.reserve(&request()).await.unwrap()).attempt, 1);
}

#[tokio::test]
async fn it_is_taken_back_also_when_its_lease_has_lapsed_meanwhile() {
    let apart = Apart::start().await;
    apart.wire.set(Network::Open { requests: Way::Pass, replies: Way::Hold });
    let brief = request().lease(Duration::from_millis(50));
    assert_eq!(apart.through.reserve(&brief).await.unwrap_err().kind(), StoreErrorKind::Timeout);
    let record = apart.record().await.unwrap();
    assert!(matches!(record.state, State::Pending { abandoned: true }), "{record:?}");
    apart.wire.set(Network::FINE);
    apart.is_free().await;
}

#[tokio::test]
async fn a_user_who_may_not_ask_for_the_age_of_a_record_takes_over_nothing() {
    let server = RedisServer::start();
    let admin = redis::Client::open(server.url()).unwrap();
    let mut admin = admin.get_multiplexed_async_connection().await.unwrap();
    let rules = ["SETUSER", "limited", "on", ">secret", "~*", "+@all", "-pttl"];
    redis::cmd("ACL").arg(&rules[..]).exec_async(&mut admin).await.unwrap();
    let url = format!("redis://limited:secret@127.0.0.1:{}", server.port());
    let limited = RedisStore::open(&url).unwrap();
    acquired(limited.reserve(&request()).await.unwrap());
    for retry_abandoned in [false, true] {
        let again = limited.reserve(&request().retry_abandoned(retry_abandoned)).await;
        let error = again.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Configuration, "{error:?}");
    }
}

#[tokio::test]
async fn one_whose_caller_has_given_up_is_taken_back_too() {
    let apart = Apart::start().await;
    apart.wire.set(Network::Open { requests: Way::Pass, replies: Way::Hold });
    let before = apart.wire.seen().replies;
    let request = request();
    tokio::select! {
        _ = apart.through.reserve(&request) => panic!("the reply is held back"),
        () = apart.wire.reached(|seen| seen.replies > before) => {}
    }
    assert!(apart.record().await.is_some(), "it was made");
    apart.wire.set(Network::FINE);
    apart.is_free().await;
}

/// Teaches the server the script that takes a record over, and leaves no record.
async fn teach(apart: &Apart) {
    let first = acquired(apart.beside.reserve(&request()).await.unwrap());
    assert_eq!(apart.beside.fail(&first, None, RETENTION).await.unwrap(), Settlement::Applied);
    let second = acquired(apart.beside.reserve(&request()).await.unwrap());
    for lease in [second, first] {
        let first = with(lease, |lease| {
            lease.previous = None;
            lease.replaces = None;
        });
        let _ = apart.beside.release(&first).await.unwrap();
    }
    assert!(apart.record().await.is_none());
}

/// Takes the record over. The reply to that is lost, and the way to the server with it.
async fn take_over_without_reply(apart: &Apart, request: &ReserveRequest) {
    let before = apart.wire.seen().replies;
    // The first reply tells of the record. The second one comes from the script that takes it
    // over.
    let lose_the_second = async {
        apart.wire.reached(|seen| seen.replies > before).await;
        apart.wire.set(Network::Open { requests: Way::Pass, replies: Way::Lose });
        apart.wire.reached(|seen| seen.replies > before + 1).await;
        apart.wire.set(Network::Closed);
    };
    let (reserved, ()) = tokio::join!(apart.through.reserve(request), lose_the_second);
    assert_eq!(reserved.unwrap_err().kind(), StoreErrorKind::Timeout);
    assert_eq!(apart.record().await.unwrap().attempt, 2, "it was taken over");
    apart.wire.set(Network::FINE);
}

#[tokio::test]
async fn a_failed_record_whose_take_over_got_no_reply_is_put_back_and_its_operation_runs_again() {
    let apart = Apart::start().await;
    teach(&apart).await;
    let first = acquired(apart.beside.reserve(&request()).await.unwrap());
    let failure =
        with(outcome(100_000), |outcome| outcome.status = StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        apart.beside.fail(&first, Some(&failure), RETENTION).await.unwrap(),
        Settlement::Applied
    );

    // Abandoned attempts do not run again, and the lease of the one that never began lapses soon.
    let request = request().retry_abandoned(false).lease(Duration::from_millis(1));
    take_over_without_reply(&apart, &request).await;
    patiently(async { while apart.record().await.unwrap().token != first.token {} }).await;
    let record = apart.record().await.unwrap();
    assert!(matches!(record.state, State::Failed(Some(_))), "{record:?}");
    assert_eq!(record.attempt, 1);

    let second = acquired(apart.beside.reserve(&request).await.unwrap());
    let previous = PreviousAttempt::Failed { status: Some(failure.status) };
    assert_eq!((second.attempt, second.previous), (2, Some(previous)));
}

#[tokio::test]
async fn an_abandoned_record_whose_take_over_got_no_reply_is_abandoned_again() {
    let apart = Apart::start().await;
    teach(&apart).await;
    let brief = request().lease(Duration::from_millis(1));
    let first = acquired(apart.beside.reserve(&brief).await.unwrap());
    let abandoned = |record: &Record| matches!(record.state, State::Pending { abandoned: true });
    patiently(async { while !abandoned(&apart.record().await.unwrap()) {} }).await;

    take_over_without_reply(&apart, &request()).await;
    patiently(async { while apart.record().await.unwrap().token != first.token {} }).await;
    let record = apart.record().await.unwrap();
    assert!(abandoned(&record), "{record:?}");
    assert_eq!(record.attempt, 1);
    // Its owner may be late and not gone.
    assert_eq!(apart.beside.renew(&first).await.unwrap(), Settlement::Applied);
    assert_eq!(apart.beside.release(&first).await.unwrap(), Settlement::Applied);
}

/// Reserves, and does something else between the look at the record and the command that takes it
/// over.
async fn reserve_with_a_delay(apart: &Apart, between: impl Future<Output = ()>) -> Reservation {
    let before = apart.wire.seen();
    let delay = async {
        apart.wire.reached(|seen| seen.replies > before.replies).await;
        apart.wire.set(Network::Open { requests: Way::Hold, replies: Way::Pass });
        apart.wire.reached(|seen| seen.requests > before.requests + 1).await;
        between.await;
        apart.wire.set(Network::FINE);
    };
    let request = request();
    tokio::join!(apart.through.reserve(&request), delay).0.unwrap()
}

#[tokio::test]
async fn a_failed_record_that_was_taken_over_and_put_back_in_between_is_judged_anew() {
    let apart = Apart::start().await;
    teach(&apart).await;
    let first = acquired(apart.beside.reserve(&request()).await.unwrap());
    assert_eq!(apart.beside.fail(&first, None, RETENTION).await.unwrap(), Settlement::Applied);
    let reserved = reserve_with_a_delay(&apart, async {
        let second = acquired(apart.beside.reserve(&request()).await.unwrap());
        assert_eq!(apart.beside.release(&second).await.unwrap(), Settlement::Applied);
    });
    assert_eq!(acquired(reserved.await).attempt, 3, "no number is given twice");
}

#[tokio::test]
async fn an_abandoned_record_that_was_put_back_and_renewed_in_between_is_not_taken_over() {
    let apart = Apart::start().await;
    teach(&apart).await;
    let brief = request().lease(Duration::from_millis(1));
    let late = acquired(apart.beside.reserve(&brief).await.unwrap());
    let abandoned = |record: &Record| matches!(record.state, State::Pending { abandoned: true });
    patiently(async { while !abandoned(&apart.record().await.unwrap()) {} }).await;
    let second = acquired(apart.beside.reserve(&request()).await.unwrap());
    assert_eq!(apart.beside.release(&second).await.unwrap(), Settlement::Applied);

    let renewed = with(late.clone(), |lease| lease.lease = Duration::from_mins(1));
    let reserved = reserve_with_a_delay(&apart, async {
        assert_eq!(apart.beside.renew(&renewed).await.unwrap(), Settlement::Applied);
    });
    match reserved.await {
        Reservation::Found(record) => assert_eq!(record.token, late.token),
        Reservation::Acquired(lease) => panic!("the attempt runs, but was taken over by {lease:?}"),
    }
}

#[tokio::test]
async fn a_settled_or_confirmed_reservation_is_not_taken_back() {
    let apart = Apart::start().await;
    let lease = acquired(apart.through.reserve(&request()).await.unwrap());
    let found = apart.through.reserve(&request().retry_abandoned(false)).await.unwrap();
    assert!(matches!(found, Reservation::Found(record) if record.token == lease.token));
    // Longer than the first pause before a reservation is taken back.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(apart.record().await.unwrap().token, lease.token);
}

#[tokio::test]
async fn each_is_taken_back_under_the_prefix_that_it_was_made_under() {
    let apart = Apart::start().await;
    let stores = ["shop1:", "shop2:"].map(|prefix| apart.through.clone().prefix(prefix));
    apart.wire.set(Network::Open { requests: Way::Pass, replies: Way::Hold });
    let request = request();
    let (one, other) = tokio::join!(stores[0].reserve(&request), stores[1].reserve(&request));
    assert_eq!(
        [one, other].map(|response| response.unwrap_err().kind()),
        [StoreErrorKind::Timeout; 2]
    );
    let beside = ["shop1:", "shop2:"].map(|prefix| apart.beside.clone().prefix(prefix));
    for store in &beside {
        assert!(store.inspect(&request.key).await.unwrap().is_some(), "it was made");
    }
    apart.wire.set(Network::FINE);
    for store in &beside {
        patiently(async { while store.inspect(&request.key).await.unwrap().is_some() {} }).await;
    }
}
