//! Records whose responses cannot be decrypted.

use std::time::Duration;

use tower_idempotency::{EncryptionKeys, InFlight};

use crate::support::{Effects, Server, counting, layers_of_two_processes, post, store};

#[tokio::test]
async fn another_request_under_the_key_is_rejected_as_such_whether_or_not_its_response_can_be_read()
{
    for in_flight in [InFlight::Reject, InFlight::Wait(Duration::from_mins(1))] {
        for limit in [1, 0] {
            let effects = Effects::new();
            let [one, other] = layers_of_two_processes(&store());
            let one = one.encrypt(EncryptionKeys::new(1, [1; 32]));
            let other = other
                .encrypt(EncryptionKeys::new(2, [2; 32]))
                .in_flight(in_flight)
                .max_in_flight(limit);
            let one = Server::start(counting(&effects).layer(one)).await;
            let other = Server::start(counting(&effects).layer(other)).await;

            post("/").key("order-1001").body("first").send(&one).await.assert_first(200, "run 1");
            let another = post("/").key("order-1001").body("another");
            another.send(&other).await.assert_rejected(409, "idempotency_key_reused");
            assert_eq!(post("/").key("order-1001").body("first").send(&other).await.status, 503);
            assert_eq!(effects.count(), 1);
        }
    }
}
