//! What a request costs by its form: no body within the limit takes more than a few times its size,
//! whatever is in it.
#![cfg(feature = "canonical")]
#![allow(missing_docs, clippy::unwrap_used)]

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use allocation_counter::{AllocationInfo, measure};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use tokio::runtime::{Builder, Runtime};
use tower::{Layer, ServiceExt, service_fn};
use tower_idempotency::{IdempotencyLayer, MemoryStore};

mod forms;

use forms::{Form, LIMIT, forms, layers};

/// The most memory at any moment, the body itself included.
const MOST_BYTES: u64 = 8 << 20;
/// The most memory that is taken in all, which bounds how often bytes are copied.
const MOST_BYTES_IN_ALL: u64 = 24 << 20;
/// The most allocations: some five for each of the 10,000 pieces that are read, and two settings
/// that read them.
const MOST_ALLOCATIONS: u64 = 200_000;

/// One thread, because allocations are counted for each.
fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn cost(layer: &IdempotencyLayer<MemoryStore>, form: &Form) -> AllocationInfo {
    let runtime = runtime();
    let handler = service_fn(|_: Request<_>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let service = layer.layer(handler);
    measure(|| {
        let response = runtime.block_on(service.oneshot(form.request())).unwrap();
        assert!(
            matches!(response.status().as_u16(), 200 | 400),
            "{}: {}",
            form.name,
            response.status()
        );
    })
}

#[test]
fn no_form_of_a_body_takes_more_than_eight_mebibytes_or_a_bounded_number_of_steps() {
    let mut over = Vec::new();
    for form in forms() {
        for (settings, layer) in layers() {
            let cost = cost(&layer(), &form);
            if cost.bytes_max > MOST_BYTES
                || cost.bytes_total > MOST_BYTES_IN_ALL
                || cost.count_total > MOST_ALLOCATIONS
            {
                let AllocationInfo { bytes_max, bytes_total, count_total, .. } = cost;
                over.push(format!(
                    "{}, {settings}: {} KiB at most, {} KiB in {count_total} allocations",
                    form.name,
                    bytes_max >> 10,
                    bytes_total >> 10
                ));
            }
        }
    }
    assert!(over.is_empty(), "over the limits:\n{}", over.join("\n"));
}

/// Announces all of the limit, sends two bytes, and then nothing.
struct Stalled {
    sent: usize,
}

impl From<Bytes> for Stalled {
    fn from(_: Bytes) -> Self {
        unreachable!("the body never ends")
    }
}

impl Body for Stalled {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.sent == 2 {
            return Poll::Pending;
        }
        self.sent += 1;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"a")))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact((LIMIT - self.sent) as u64)
    }
}

#[test]
fn a_client_that_announces_a_large_body_and_sends_none_of_it_takes_no_memory_for_it() {
    let runtime = runtime();
    let handler = service_fn(|_: Request<_>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let service = IdempotencyLayer::new(MemoryStore::new()).layer(handler);
    let cost = measure(|| {
        let request = Request::post("/").header("x-idempotency-key", "order-1001");
        let request = request.body(Stalled { sent: 0 }).unwrap();
        runtime.block_on(async {
            let stalled = tokio::spawn(service.oneshot(request));
            // On one thread the other task has the turns between.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            assert!(!stalled.is_finished());
            stalled.abort();
        });
    });
    assert!(cost.bytes_max < 128 << 10, "{} KiB", cost.bytes_max >> 10);
}
