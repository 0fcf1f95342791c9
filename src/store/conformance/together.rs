//! Running futures side by side within one task.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Mutex;
use std::task::Poll;

use crate::runtime::lock::lock;

/// How many futures run at a time where all at once would be a crowd.
pub(super) const FEW: usize = 8;

/// A boxed future, for those of different types.
pub(super) type Boxed<'a, T = ()> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Polls all futures until each has its result; the results are in their order.
pub(super) async fn all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    poll_fn(|cx| {
        let mut ready = true;
        for (future, result) in running.iter_mut().filter(|(_, result)| result.is_none()) {
            match future.as_mut().poll(cx) {
                Poll::Ready(output) => *result = Some(output),
                Poll::Pending => ready = false,
            }
        }
        if ready { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    running.into_iter().filter_map(|(_, result)| result).collect()
}

/// Polls no more than `most` futures at a time until each has its result, in the order of their
/// ends.
pub(super) async fn some_at_a_time<I>(most: usize, futures: I) -> Vec<<I::Item as Future>::Output>
where
    I: IntoIterator<Item: Future>,
{
    let waiting = Mutex::new(futures.into_iter().fuse());
    let results = Mutex::new(Vec::new());
    let lanes = (0..most).map(|_| async {
        loop {
            let next = lock(&waiting).next();
            let Some(next) = next else { break };
            let result = next.await;
            lock(&results).push(result);
        }
    });
    all(lanes).await;
    results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// All of them, or the first failure.
pub(super) async fn all_pass<E>(
    checks: impl IntoIterator<Item = Boxed<'_, Result<(), E>>>,
) -> Result<(), E> {
    all(checks).await.into_iter().collect()
}
