use std::io::ErrorKind;

use serde_json::json;
use tokio::net::TcpStream;

use super::server::{Sandbox, order, order_with};

/// Waits until the sandbox no longer takes connections.
async fn closed(sandbox: &Sandbox) {
    loop {
        match TcpStream::connect(sandbox.address()).await {
            Ok(_) => tokio::task::yield_now().await,
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return,
            // It was still in the queue when the door was closed.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn sigterm_lets_a_running_payment_finish_and_exits_0() {
    let mut sandbox = Sandbox::start(&[]).await;
    let slow = order_with(json!({ "after_ms": 1000 }));
    let stop = async {
        sandbox.first_effect().await;
        sandbox.signal("TERM");
        closed(&sandbox).await;
    };
    let mut payment = Box::pin(sandbox.pay("k", &slow));
    tokio::select! {
        biased;
        _ = &mut payment => panic!("the payment ended before the door was closed"),
        () = stop => {}
    }
    let answer = payment.await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.json()["attempt"], 1);
    assert_eq!(sandbox.ended().await.code(), Some(0));
}

#[tokio::test]
async fn sigint_and_sigterm_end_an_idle_sandbox_with_exit_0() {
    for signal in ["INT", "TERM"] {
        let mut sandbox = Sandbox::start(&[]).await;
        // The client keeps its connection open.
        assert_eq!(sandbox.pay("k", &order()).await.status, 201);
        assert!(sandbox.runs());
        sandbox.signal(signal);
        assert_eq!(sandbox.ended().await.code(), Some(0), "SIG{signal}");
    }
}
