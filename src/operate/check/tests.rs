#![allow(clippy::unwrap_used)]

use std::time::Duration;

use tokio::time::sleep;

use super::{CheckResult, Checklist, shortest};
use crate::layer::IdempotencyLayer;
use crate::record::key::{Scope, StorageKey};
use crate::record::outcome::Outcome;
use crate::settings::OnOutage;
use crate::store::memory::MemoryStore;
use crate::store::{Lease, Record, Reservation, ReserveRequest, Settlement, Store, StoreError};

const GUIDE: &str = include_str!("../../guide/threat_model.md");

fn bare() -> IdempotencyLayer<MemoryStore> {
    IdempotencyLayer::new(MemoryStore::new())
}

fn result(checklist: &Checklist, name: &str) -> CheckResult {
    checklist.iter().find(|item| item.name == name).unwrap().result
}

#[tokio::test]
async fn the_checklist_of_the_guide_has_the_items_of_the_layer_in_their_order() {
    let (_, checklist) = GUIDE.split_once("# Checklist for production").unwrap();
    let in_guide: Vec<_> = checklist
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name))
        .collect();
    let all = bare().checklist(Duration::ZERO);
    assert_eq!(in_guide, all.iter().map(|item| item.name).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_store_in_memory_has_no_items_of_a_server() {
    let printed: Vec<_> = bare().check().await.unwrap().into_iter().map(|item| item.name).collect();
    let of_a_server = [
        "server",
        "clock",
        "durability",
        "eviction",
        "sweep",
        "dead clients",
        "TLS",
        "permissions",
        "replicas",
    ];
    for name in of_a_server.into_iter().chain(["store of its own"]) {
        assert!(!printed.contains(&name), "{name}");
    }
    assert_eq!(printed.last(), Some(&"rate limit"));
}

#[tokio::test]
async fn a_value_that_switches_a_part_off_is_open_and_says_which() {
    let checklist = bare().check().await.unwrap();
    assert_eq!(result(&checklist, "values"), CheckResult::Passed);
    let off = bare().max_in_flight(0).methods([]).check().await.unwrap().to_string();
    let line = off.lines().find(|line| line.contains("values")).unwrap();
    assert_eq!(
        line,
        "OPEN  values: `methods` is empty: no request is guarded; `max_in_flight` is 0: each new \
         operation gets 503; a part of the layer is switched off: set another value"
    );
}

#[test]
fn a_duration_is_printed_in_its_largest_unit() {
    for (seconds, printed) in
        [(0, "0ns"), (1, "1s"), (90, "90s"), (300, "5m"), (3_600, "1h"), (86_400, "24h")]
    {
        assert_eq!(shortest(Duration::from_secs(seconds)), printed);
    }
    assert_eq!(shortest(Duration::from_hours(7 * 24)), "7d");
    assert_eq!(shortest(Duration::from_millis(1_500)), "1.5s");
}

#[test]
fn a_remedy_names_what_is_missing_and_its_feature() {
    let remedy = |layer: IdempotencyLayer<MemoryStore>, name: &str| {
        let checklist = layer.checklist(Duration::ZERO);
        checklist.iter().find(|item| item.name == name).unwrap().remedy
    };
    assert_eq!(
        remedy(bare(), "new keys"),
        "set `scope` and `new_keys_per_minute` (feature `quota`)"
    );
    let scoped = bare().scope(|_| Scope::new("acct_1"));
    assert_eq!(remedy(scoped, "new keys"), "set `new_keys_per_minute` (feature `quota`)");
    assert!(remedy(bare(), "encryption").contains("`encrypt` (feature `encryption`)"));
    let long = bare().retention(Duration::from_hours(7 * 24)).checklist(Duration::ZERO).to_string();
    assert!(long.contains("ok    retention: 7d"), "{long}");
}

#[tokio::test]
async fn each_setting_closes_its_item() {
    let before =
        bare().on_outage(OnOutage::FailOpenRiskingDoubleEffects).retention(Duration::from_hours(1));
    let before = before.store_timeout(Duration::from_secs(30));
    let after = before
        .clone()
        .scope(|_| Scope::new("acct_1"))
        .namespace("payments")
        .require_key()
        .secret([7; 32])
        .on_outage(OnOutage::FailClosed)
        .store_timeout(Duration::from_secs(2))
        .retention(Duration::from_hours(24))
        .max_in_flight(100)
        .quota(|_| Ok(()));
    let (before, after) = (before.check().await.unwrap(), after.check().await.unwrap());
    let changed = ["scope", "require_key", "secret", "on_outage", "store_timeout", "retention"];
    for name in changed.into_iter().chain(["max_in_flight", "quota"]) {
        assert_eq!(result(&before, name), CheckResult::Open, "{name}");
        assert_eq!(result(&after, name), CheckResult::Passed, "{name}");
    }
    // The memory store loses its records at a restart, and no other service shares it.
    assert_eq!(result(&after, "store"), CheckResult::Open);
    assert_eq!(result(&before, "namespace"), CheckResult::Passed);
    assert_eq!(result(&after, "authentication"), CheckResult::Unseen);
}

#[cfg(feature = "redis")]
#[test]
fn a_namespace_is_asked_for_where_other_services_use_the_store_too() {
    let layer = IdempotencyLayer::new(
        crate::store::redis::RedisStore::open("redis://127.0.0.1:1").unwrap(),
    );
    assert_eq!(result(&layer.checklist(Duration::ZERO), "namespace"), CheckResult::Open);
    assert_eq!(result(&layer.checklist(Duration::ZERO), "store"), CheckResult::Passed);
    assert_eq!(result(&layer.checklist(Duration::ZERO), "TLS"), CheckResult::Unseen);
    assert_eq!(
        result(&layer.namespace("payments").checklist(Duration::ZERO), "namespace"),
        CheckResult::Passed
    );
}

#[cfg(feature = "encryption")]
#[test]
fn encryption_closes_its_item_when_plain_records_are_rejected() {
    use crate::http::response::StoredResponse;
    use crate::store::pack::EncryptionKeys;

    let keys = EncryptionKeys::new(1, [9; 32]);
    let of = |layer: IdempotencyLayer<MemoryStore>| {
        result(&layer.checklist(Duration::ZERO), "encryption")
    };
    assert_eq!(of(bare()), CheckResult::Open);
    assert_eq!(of(bare().encrypt(keys.clone())), CheckResult::Passed);
    assert_eq!(of(bare().encrypt(keys.accept_plain())), CheckResult::Open);
    assert_eq!(of(bare().stored_response(StoredResponse::Status)), CheckResult::Open);
}

#[tokio::test]
async fn no_secret_is_printed() {
    let layer = bare().secret([0xab; 32]);
    #[cfg(feature = "encryption")]
    let layer = layer.encrypt(crate::store::pack::EncryptionKeys::new(1, [0xab; 32]));
    let checklist = layer.check().await.unwrap();
    let printed = format!("{checklist}\n{checklist:?}").to_lowercase();
    assert!(
        !printed.contains("ab, ab") && !printed.contains("abab") && !printed.contains("171"),
        "{printed}"
    );
}

#[tokio::test]
async fn one_line_is_printed_for_each_item() {
    let checklist = bare().check().await.unwrap();
    let printed = checklist.to_string();
    assert_eq!(printed.lines().count(), checklist.iter().count());
    for (line, item) in printed.lines().zip(&checklist) {
        assert!(line.contains(item.name), "{line}");
    }
    assert!(printed.starts_with("OPEN  scope: not set; all callers share"), "{printed}");
}

/// A slow store: a read takes this long before it begins, and a write until its reply comes.
struct Slow(MemoryStore, Duration);

impl Slow {
    async fn write<T>(&self, operation: impl Future<Output = T>) -> T {
        let reply = operation.await;
        sleep(self.1).await;
        reply
    }
}

impl Store for Slow {
    async fn reserve(&self, request: &ReserveRequest) -> Result<Reservation, StoreError> {
        self.write(self.0.reserve(request)).await
    }

    async fn complete(
        &self,
        lease: &Lease,
        outcome: &Outcome,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        self.write(self.0.complete(lease, outcome, retention)).await
    }

    async fn fail(
        &self,
        lease: &Lease,
        outcome: Option<&Outcome>,
        retention: Duration,
    ) -> Result<Settlement, StoreError> {
        self.write(self.0.fail(lease, outcome, retention)).await
    }

    async fn release(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        self.write(self.0.release(lease)).await
    }

    async fn renew(&self, lease: &Lease) -> Result<Settlement, StoreError> {
        self.write(self.0.renew(lease)).await
    }

    async fn inspect(&self, key: &StorageKey) -> Result<Option<Record>, StoreError> {
        sleep(self.1).await;
        self.0.inspect(key).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.write(self.0.ping()).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_store_is_told_to_be_slow_and_not_to_lose_records() {
    for (milliseconds, lease) in [(700, 10_000), (1_500, 10_000), (20, 3)] {
        let slow = Slow(MemoryStore::new(), Duration::from_millis(milliseconds));
        let layer = IdempotencyLayer::new(slow).lease(Duration::from_millis(lease));
        let checklist = layer.check().await.unwrap();
        let expected = if milliseconds < 500 { CheckResult::Passed } else { CheckResult::Open };
        assert_eq!(result(&checklist, "operations"), expected, "{milliseconds}: {checklist}");
    }
}
