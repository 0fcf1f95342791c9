//! One key, many who want it: exactly one has it, and the others are told whose it is.

use std::collections::HashSet;
use std::time::Duration;

use super::super::{Lease, Record, Reservation, Settlement, State, Store};
use super::contender::Contender;
use super::given::{answer, forged};
use super::together;
use super::told::Write;

/// A store that answers says so.
pub async fn ping_succeeds<S: Store>(store: &S, _unit: Duration) {
    let pong = store.ping().await;
    assert!(pong.is_ok(), "the store should answer a ping, but says {pong:?}");
}

/// Whoever comes first acquires the key, as attempt 1 with nothing before it. Whoever comes next finds it pending,
/// the same caller included.
pub async fn a_first_reserve_acquires<S: Store>(store: &S, unit: Duration) {
    let contender = Contender::new(store, unit);
    let lease = contender.acquires_first().await;

    contender.finds_running(&lease).await;
    contender.rerunning_failed().rerunning_abandoned().finds_running(&lease).await;
}

/// Of 50 contenders at once exactly one acquires the key; the others find it pending with the winner's token.
pub async fn of_many_contenders_one_acquires<S: Store>(store: &S, unit: Duration) {
    let contender = Contender::new(store, unit);
    let reservations = together::all((0..50).map(|_| contender.reserve())).await;

    let lease = the_only_winner(reservations);
    assert_eq!((lease.attempt, lease.previous), (1, None), "the winner should make the first attempt");
    contender.finds_running(&lease).await;
}

/// The one lease among `reservations`. All others must be of its record, running.
pub(super) fn the_only_winner(reservations: Vec<Reservation>) -> Lease {
    let mut leases = Vec::new();
    let mut records = Vec::new();
    for reservation in reservations {
        match reservation {
            Reservation::Acquired(lease) => leases.push(lease),
            Reservation::Found(record) => records.push(record),
        }
    }
    let [lease] = <[Lease; 1]>::try_from(leases)
        .unwrap_or_else(|leases| panic!("one contender should acquire the key, but {} did", leases.len()));
    for Record { token, attempt, fingerprint, state, .. } in records {
        assert_eq!(token, lease.token, "a loser should be told the winner's token");
        assert_eq!(attempt, lease.attempt, "a loser should be told the winner's attempt");
        assert_eq!(fingerprint, lease.fingerprint, "a loser should be told the winner's fingerprint");
        let running = matches!(state, State::Pending { abandoned: false });
        assert!(running, "a loser should find the winner's attempt running, not {state:?}");
    }
    lease
}

/// Nobody but the winner settles the record: not a loser that goes its way, and not one that makes up a token. A
/// third contender then still finds the winner's attempt.
pub async fn a_loser_settles_nothing<S: Store>(store: &S, unit: Duration) {
    let winner = Contender::new(store, unit);
    let lease = winner.acquires_first().await;

    let loser = winner.rerunning_failed().rerunning_abandoned();
    loser.finds_running(&lease).await;
    loser.loses_every_write(&forged(&lease)).await;

    let third = winner.rerunning_failed();
    third.finds_running(&lease).await;
    let kept = answer(201, "of the winner");
    winner.applies(&lease, Write::Complete(&kept)).await;
    loser.loses_every_write(&forged(&lease)).await;
    third.finds_success(&lease, &kept).await;
}

/// A lease is good for its own key only: it does not settle, renew or release the record of another
/// one.
pub async fn a_lease_settles_no_other_key<S: Store>(store: &S, unit: Duration) {
    let contender = Contender::new(store, unit);
    let lease = contender.acquires_first().await;
    let neighbour = Contender::new(store, unit);
    let of_the_neighbour = neighbour.acquires_first().await;

    neighbour.loses_every_write(&Lease { key: of_the_neighbour.key, ..lease.clone() }).await;
    neighbour.finds_running(&of_the_neighbour).await;
    contender.finds_running(&lease).await;
}

/// A contender with another fingerprint finds the record whole, whatever its state, and never takes it over, whatever
/// it asks for. The fingerprint outlives completion: an honest repeat is no stranger to the record.
pub async fn another_operation_is_told_whatever_the_state<S: Store>(store: &S, unit: Duration) {
    let kept = answer(201, "of the operation that came first");
    let ends = [None, Some(Write::Complete(&kept)), Some(Write::Fail(Some(&kept))), Some(Write::Fail(None))];
    for end in ends {
        let owner = Contender::new(store, unit);
        let lease = owner.acquires_first().await;
        if let Some(end) = end {
            owner.applies(&lease, end).await;
        }

        let other = owner.with_another_operation();
        for contender in [&other.rerunning_failed().rerunning_abandoned(), &other, &owner] {
            match end {
                Some(Write::Complete(outcome)) => contender.finds_success(&lease, outcome).await,
                Some(Write::Fail(outcome)) => contender.finds_failed(&lease, outcome).await,
                _ => contender.finds_running(&lease).await,
            }
        }
    }
}

/// However often a key is reserved and released, each attempt has a token of its own.
pub async fn tokens_never_repeat<S: Store>(store: &S, unit: Duration) {
    const ROUNDS: usize = 200;
    let contender = Contender::new(store, unit);
    let mut tokens = HashSet::new();
    for _ in 0..ROUNDS {
        let lease = contender.acquires_first().await;
        tokens.insert(lease.token);
        let released = contender.writes(&lease, Write::Release).await;
        assert_eq!(released, Settlement::Applied, "the owner should be able to release its key");
    }
    assert_eq!(tokens.len(), ROUNDS, "a token was used twice");
}
