//! The example `orders`, run as its first lines say.

use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::postgres::PostgresServer;
use crate::support::sandbox::{Sandbox, SandboxResponse, example};

/// The shop, and its database as `psql` sees it.
struct Shop {
    server: PostgresServer,
    example: Sandbox,
}

impl Shop {
    async fn open() -> Self {
        let server = PostgresServer::start();
        let mut command = Command::new(example("orders"));
        command.env("DATABASE_URL", server.url()).env("LISTEN", "127.0.0.1:0");
        let example = Sandbox::run(&mut command).await.expect("the example ended without output");
        Self { server, example }
    }

    async fn order(&self, key: &str, order: &Value) -> SandboxResponse {
        self.order_as("token-of-alice", key, order).await
    }

    async fn order_as(&self, token: &str, key: &str, order: &Value) -> SandboxResponse {
        let head = self.example.json("/orders").header("x-idempotency-key", key);
        let head = head.header("authorization", format!("Bearer {token}"));
        self.example.send(head, order.to_string()).await
    }

    /// How many orders there are, and how many books are left.
    async fn books(&self) -> (i64, i32) {
        let books = sqlx::query_as(
            "SELECT (SELECT count(*) FROM orders), quantity FROM stock WHERE item = 'book'",
        );
        books.fetch_one(&self.server.pool()).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_placed_once_and_replayed_and_another_one_under_its_key_is_rejected() {
    let shop = Shop::open().await;
    assert_eq!(shop.books().await, (0, 10));

    let two = json!({ "item": "book", "quantity": 2 });
    let first = shop.order("order-1001", &two).await;
    assert_eq!((first.status.as_u16(), first.is_replay()), (201, false));
    assert_eq!(first.json(), json!({ "id": 1, "item": "book", "quantity": 2 }));
    let second = shop.order("order-1001", &two).await;
    assert_eq!((second.status, second.is_replay()), (first.status, true));
    assert_eq!(second.body, first.body);
    shop.order("order-1001", &json!({ "item": "book", "quantity": 3 }))
        .await
        .rejected_for_good("idempotency_key_reused");
    assert_eq!(shop.books().await, (1, 8));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refreshed_token_is_the_same_account_and_an_unknown_one_is_rejected() {
    let shop = Shop::open().await;
    let two = json!({ "item": "book", "quantity": 2 });
    for (token, replayed) in
        [("token-of-alice", false), ("new-token-of-alice", true), ("token-of-bob", false)]
    {
        let response = shop.order_as(token, "order-1001", &two).await;
        assert_eq!((response.status.as_u16(), response.is_replay()), (201, replayed), "{token}");
    }
    assert_eq!(shop.order_as("token-of-nobody", "order-1001", &two).await.status, 401);
    let without_token = shop.example.json("/orders").header("x-idempotency-key", "order-1001");
    assert_eq!(shop.example.send(without_token, two.to_string()).await.status, 401);
    assert_eq!(shop.books().await, (2, 6));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_more_than_is_left_leaves_no_trace_but_its_response() {
    let shop = Shop::open().await;
    for replayed in [false, true] {
        let response = shop.order("k", &json!({ "item": "book", "quantity": 11 })).await;
        assert_eq!((response.status.as_u16(), response.is_replay()), (409, replayed));
    }
    assert_eq!(shop.books().await, (0, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_needs_a_key_and_sigint_ends_the_shop() {
    let mut shop = Shop::open().await;
    let head = shop.example.json("/orders").header("authorization", "Bearer token-of-alice");
    let order = json!({ "item": "book", "quantity": 1 }).to_string();
    shop.example.send(head, order).await.rejected(400, "idempotency_key_missing");
    assert_eq!(shop.books().await, (0, 10));
    shop.example.signal("INT");
    assert_eq!(shop.example.ended().await.code(), Some(0));
}
