//! A record that is looked at is abandoned and expires when it would have been without the look.

use tokio::time::timeout;

use crate::store::conformance::contender::Contender;
use crate::store::conformance::failure::Checked;
use crate::store::conformance::given::{large_response, response};
use crate::store::conformance::together::{self, Boxed};
use crate::store::conformance::told::Write;
use crate::store::conformance::trial::Trial;
use crate::store::{Lease, State, Store};

/// How a record is looked at.
#[derive(Clone, Copy)]
enum Look {
    Inspect,
    /// To the bound, and dropped half way.
    Wait,
}

/// An inspection lengthens neither the lease nor the retention.
pub(crate) async fn an_inspection_leaves_all_times_as_they_are<S: Store>(
    trial: &Trial<'_, S>,
) -> Checked {
    records_end_in_time(trial, Look::Inspect).await
}

/// A wait lengthens neither the lease nor the retention.
pub(crate) async fn a_wait_leaves_all_times_as_they_are<S: Store>(trial: &Trial<'_, S>) -> Checked {
    records_end_in_time(trial, Look::Wait).await
}

async fn records_end_in_time<S: Store>(trial: &Trial<'_, S>, look: Look) -> Checked {
    let (small, large) = (response(201, "small"), large_response(500, b'L'));
    let checks: [Boxed<'_, Checked>; 5] = [
        Box::pin(an_attempt_ends_in_time(trial, look)),
        Box::pin(a_response_ends_in_time(trial, look, Write::Complete(&small))),
        Box::pin(a_response_ends_in_time(trial, look, Write::Complete(&large))),
        Box::pin(a_response_ends_in_time(trial, look, Write::Fail(Some(&large)))),
        Box::pin(a_response_ends_in_time(trial, look, Write::Fail(None))),
    ];
    together::all_pass(checks).await
}

async fn an_attempt_ends_in_time<S: Store>(trial: &Trial<'_, S>, look: Look) -> Checked {
    let contender = Contender::new(trial).with_lease(2.0).with_retention(4.0);
    let lease = contender.acquires_first().await?;
    let state = |abandoned| State::Pending { abandoned };

    looks(contender.after(1.0).await, &lease, state(false), look).await?;
    contender.after(1.25).await.finds_abandoned(&lease).await?;
    looks(&contender, &lease, state(true), look).await?;
    contender.after(2.25).await.acquires_first().await?;
    Ok(())
}

async fn a_response_ends_in_time<S: Store>(
    trial: &Trial<'_, S>,
    look: Look,
    write: Write<'_>,
) -> Checked {
    let contender = Contender::new(trial);
    let lease = contender.acquires_first().await?;
    contender.applies_for(3.0, &lease, write).await?;

    looks(contender.after(1.0).await, &lease, write.leaves(), look).await?;
    contender.after(2.5).await.acquires_first().await?;
    Ok(())
}

/// Takes half a unit at most.
async fn looks<S: Store>(
    contender: &Contender<'_, S>,
    lease: &Lease,
    state: State,
    look: Look,
) -> Checked {
    match look {
        Look::Inspect => contender.inspects_state(lease, state).await,
        Look::Wait => {
            contender.waits(lease, 0, 0.25).await?;
            let dropped = timeout(contender.units(0.25), contender.waits(lease, 3, 10.0)).await;
            dropped.unwrap_or(Ok(()))
        }
    }
}
