//! Handlers that block their thread from the first.

use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use tower_idempotency::{IdempotencyKey, Scope, store::State};

use crate::support::{Effects, Server, TestLayer, app, layer, post};

const LEASE: Duration = Duration::from_millis(300);

/// The server of a process of its own, whose handler blocks until `end` is dropped.
fn serve(
    layer: TestLayer,
    effects: &Effects,
    workers: usize,
) -> (tokio::runtime::Runtime, Server, mpsc::Sender<()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .unwrap();
    let (end, ended) = mpsc::channel::<()>();
    let ended = Arc::new(Mutex::new(ended));
    let router = app(effects, move |_| {
        let ended = Arc::clone(&ended);
        async move {
            let _ = ended.lock().unwrap().recv();
            "done"
        }
    });
    let server = runtime.block_on(Server::start(router.layer(layer)));
    (runtime, server, end)
}

/// The runtime of the server has one idle worker and no event that would wake it.
#[test]
fn its_lease_is_renewed_while_another_worker_is_idle() {
    let effects = Effects::new();
    let layer = layer().lease(LEASE);
    let (runtime, server, end) = serve(layer.clone(), &effects, 2);
    let here = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    here.block_on(async {
        let call = post("/").key("order-1001");
        let running = call.begin(&server, usize::MAX).await;
        effects.reached(1).await;
        let key = IdempotencyKey::parse(b"order-1001").unwrap();
        let began = Instant::now();
        while began.elapsed() < 5 * LEASE {
            let record = layer.inspect(&Scope::anonymous(), &key).await.unwrap().unwrap();
            assert!(
                matches!(record.state, State::Pending { abandoned: false }),
                "{:?}",
                began.elapsed()
            );
            tokio::time::sleep(LEASE / 30).await;
        }
        drop(end);
        call.finish(running).await.assert_first(200, "done");
    });
    drop(server);
    runtime.shutdown_timeout(Duration::from_secs(10));
    assert_eq!(effects.attempts(), [(1, None)]);
}
