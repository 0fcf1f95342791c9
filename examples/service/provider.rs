//! Takes the place of the client of a payment provider.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

#[derive(Clone)]
pub(crate) struct Provider {
    latency: Duration,
    charges: Arc<Mutex<HashMap<String, String>>>,
}

impl Provider {
    pub(crate) fn new(latency: Duration) -> Self {
        Self { latency, charges: Arc::default() }
    }

    /// Charges an account. The response comes later than the effect, and may be lost.
    pub(crate) async fn charge(&self, key: &str, account: i64, amount: u64) -> String {
        let mut charges = self.charges.lock().await;
        let charge = format!("ch_{}_{account}_{amount}", charges.len() + 1);
        charges.insert(key.into(), charge.clone());
        drop(charges);
        tokio::time::sleep(self.latency).await;
        charge
    }

    /// The charge that was made under a key.
    pub(crate) async fn find(&self, key: &str) -> Option<String> {
        self.charges.lock().await.get(key).cloned()
    }
}
