//! The renewals of a lease, in a task of their own: a handler that keeps its thread to itself does not keep them from it.

use std::sync::Arc;

use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use crate::attempt::Attempt;
use crate::config::Config;
use crate::shared::{Shared, within};
use crate::store::{Lease, Settlement, Store};
use crate::telemetry;

/// Ends the renewals when it is dropped.
pub(super) type Heartbeat = AbortOnDropHandle<()>;

/// Renews a lease until it is lost, or the handle is dropped. `since` is when the reservation was sent.
pub(super) fn start<St: Store>(
    shared: &Arc<Shared<St>>,
    config: &Arc<Config>,
    attempt: &Attempt,
    lease: &Lease,
    since: Instant,
) -> Heartbeat {
    let (shared, config) = (Arc::clone(shared), Arc::clone(config));
    let renewals = renew_until_lost(shared, config, attempt.clone(), lease.clone(), since);
    AbortOnDropHandle::new(tokio::spawn(renewals.in_current_span()))
}

/// Renews the lease at every third of it. The handler is told when it has lapsed because the store could not be asked; it
/// is renewed all the same as soon as that is possible, for nobody may have taken over.
async fn renew_until_lost<St: Store>(
    shared: Arc<Shared<St>>,
    config: Arc<Config>,
    attempt: Attempt,
    lease: Lease,
    mut renewed: Instant,
) {
    let beat = lease.lease / 3;
    let mut next = renewed + beat;
    loop {
        let lapses = renewed + lease.lease;
        let told = attempt.has_lost_lease() || attempt.is_settling();
        sleep_until(if told { next } else { next.min(lapses) }).await;
        let sent = Instant::now();
        let left = lapses.saturating_duration_since(sent);
        if left.is_zero() && !attempt.is_settling() && attempt.lose_lease() {
            telemetry::lease_lost("lapsed");
            tracing::warn!(key = %lease.key, "the lease has lapsed while the attempt ran: it could not be renewed");
        }
        if sent < next {
            continue;
        }
        // A renewal that takes longer than a beat is of no use, and must not keep the next one from being sent.
        let most = if left.is_zero() { beat } else { beat.min(left) };
        next = match within(config.store_timeout.min(most), shared.store.renew(&lease)).await {
            Ok(Settlement::Applied) => {
                shared.store_answered();
                renewed = sent;
                sent + beat
            }
            Ok(Settlement::LeaseLost) => {
                if !attempt.is_settling() && attempt.lose_lease() {
                    telemetry::lease_lost("taken");
                    tracing::warn!(key = %lease.key, "the lease was lost while the attempt ran");
                }
                return;
            }
            Err(error) => {
                shared.store_failed("renew", &lease.key, &error);
                Instant::now() + beat / 4
            }
        };
    }
}
