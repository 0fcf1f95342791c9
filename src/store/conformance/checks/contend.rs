//! One key, many callers: exactly one acquires it, and the others find its record.

use std::collections::HashSet;
use std::panic::Location;

use crate::store::conformance::contender::{Contender, step};
use crate::store::conformance::failure::Checked;
use crate::store::conformance::given::{forged, response};
use crate::store::conformance::told::Write;
use crate::store::conformance::trial::Trial;
use crate::store::{Lease, Store};

/// A store that replies says so.
pub(crate) async fn ping_succeeds<S: Store>(trial: &Trial<'_, S>) -> Checked {
    let step = step("ping", "the store replies", Location::caller());
    trial.ask(&step, trial.store.ping()).await?;
    Ok(())
}

/// The first caller acquires the key, as attempt 1 with nothing before it. The next one finds it
/// pending, and so does the same caller when it asks again.
pub(crate) async fn a_first_reserve_acquires<S: Store>(trial: &Trial<'_, S>) -> Checked {
    let contender = Contender::new(trial);
    let lease = contender.acquires_first().await?;
    contender.finds_running(&lease).await?;
    contender.rerunning_failed().rerunning_abandoned().finds_running(&lease).await
}

/// Of 50 contenders at once exactly one acquires the key. The others find it pending with the
/// winner's token.
pub(crate) async fn of_many_contenders_one_acquires<S: Store>(trial: &Trial<'_, S>) -> Checked {
    let contender = Contender::new(trial);
    let lease = contender.one_of_many_acquires(1, None).await?;
    contender.finds_running(&lease).await
}

/// Only the winner settles the record: a loser does not, and neither does a token that was never
/// given out. A third contender then still finds the winner's attempt.
pub(crate) async fn a_loser_settles_nothing<S: Store>(trial: &Trial<'_, S>) -> Checked {
    let winner = Contender::new(trial);
    let lease = winner.acquires_first().await?;

    let loser = winner.rerunning_failed().rerunning_abandoned();
    loser.finds_running(&lease).await?;
    loser.loses_every_write(&forged(&lease)).await?;

    let third = winner.rerunning_failed();
    third.finds_running(&lease).await?;
    let stored = response(201, "of the winner");
    winner.applies(&lease, Write::Complete(&stored)).await?;
    loser.loses_every_write(&forged(&lease)).await?;
    third.finds_success(&lease, &stored).await
}

/// A lease is for its own key only: it does not settle, renew or release the record of another one.
pub(crate) async fn a_lease_settles_no_other_key<S: Store>(trial: &Trial<'_, S>) -> Checked {
    let contender = Contender::new(trial);
    let lease = contender.acquires_first().await?;
    let neighbour = Contender::new(trial);
    let of_the_neighbour = neighbour.acquires_first().await?;

    neighbour.loses_every_write(&Lease { key: of_the_neighbour.key, ..lease.clone() }).await?;
    neighbour.finds_running(&of_the_neighbour).await?;
    contender.finds_running(&lease).await
}

/// A contender with another fingerprint finds the record whole in every state, and never takes it
/// over. The fingerprint stays when the record is settled: a retry of the same request still
/// matches.
pub(crate) async fn another_operation_finds_the_record_in_every_state<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    let stored = response(201, "of the operation that came first");
    let ends = [
        None,
        Some(Write::Complete(&stored)),
        Some(Write::Fail(Some(&stored))),
        Some(Write::Fail(None)),
    ];
    for end in ends {
        let owner = Contender::new(trial);
        let lease = owner.acquires_first().await?;
        if let Some(end) = end {
            owner.applies(&lease, end).await?;
        }
        let other = owner.with_another_operation();
        for contender in [&other.rerunning_failed().rerunning_abandoned(), &other, &owner] {
            contender.finds_what_was_written(&lease, end).await?;
        }
    }
    Ok(())
}

/// However often a key is reserved and released, each attempt has a token of its own.
pub(crate) async fn tokens_never_repeat<S: Store>(trial: &Trial<'_, S>) -> Checked {
    const ROUNDS: usize = 50;
    let contender = Contender::new(trial);
    let mut tokens = HashSet::new();
    for _ in 0..ROUNDS {
        let lease = contender.acquires_first().await?;
        tokens.insert(lease.token);
        contender.applies(&lease, Write::Release).await?;
    }
    let step =
        step("reserve", format!("{ROUNDS} times, and each time released"), Location::caller());
    let said = format!("{} tokens", tokens.len());
    step.holds(tokens.len() == ROUNDS, &format!("{ROUNDS} tokens"), &said)
}
