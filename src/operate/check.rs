//! The checklist for production, as far as a layer can see it.

use std::fmt;
use std::time::Duration;

use crate::flow::shared::within;
use crate::http::response::StoredResponse;
use crate::layer::IdempotencyLayer;
use crate::settings::least::SwitchedOff;
use crate::settings::{Config, OnOutage};
use crate::store::check::{
    CLOCK, DEAD_CLIENTS, DURABILITY, EVICTION, OF_ITS_OWN, PERMISSIONS, Question, REPLICAS, SERVER,
    SWEEP, TLS,
};
use crate::store::{CheckItem, CheckResult, Store, StoreError};

mod covers;
mod probe;

use probe::probe;

impl<St: Store> IdempotencyLayer<St> {
    /// Checks the settings of the layer and its store against the [checklist for production]. Call
    /// it at start. Its result contains no secret.
    ///
    /// It also tries every operation of the store, with keys of its own: reserve, renew, release,
    /// complete and inspect, with a large response too. It leaves one record, which expires after a
    /// second: Redis drops its body about two minutes later, and a database at the next sweep. In
    /// transaction mode it opens two transactions.
    ///
    /// ```
    /// use tower_idempotency::{IdempotencyLayer, MemoryStore, Scope};
    ///
    /// #[derive(Clone)]
    /// struct Account(u64);
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_idempotency::store::StoreError> {
    /// let layer = IdempotencyLayer::new(MemoryStore::new())
    ///     .namespace("payments")
    ///     .scope(|parts| {
    ///         let Account(id) = parts.extensions.get()?;
    ///         Some(Scope::new(id.to_be_bytes()))
    ///     })
    ///     .require_key();
    /// let checklist = layer.check().await?;
    /// println!("{checklist}");
    ///
    /// let open: Vec<_> = checklist.open().map(|item| item.name).collect();
    /// assert!(!open.contains(&"scope"));
    /// assert!(open.contains(&"secret"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The output has one line for each item. `look` marks an item that the layer cannot see:
    ///
    /// ```text
    /// ok    scope: set
    /// OPEN  max_in_flight: not set; a flood takes any amount of memory: set `max_in_flight`
    /// ok    operations: each one works, the slowest within 2 ms
    /// look  rate limit: not visible here; any caller can fill the store: put one outside of the layer
    /// ```
    ///
    /// # Errors
    ///
    /// If an operation of the store fails, because each request with a key would then get 503. The
    /// error says what to do: it is [`Configuration`](crate::store::StoreErrorKind::Configuration)
    /// if a table, a permission or a password is missing.
    ///
    /// [checklist for production]: crate::guide::threat_model#checklist-for-production
    pub async fn check(&self) -> Result<Checklist, StoreError> {
        let config = &*self.config;
        covers::every_setting(config);
        self.prepare_store();
        let store = &self.shared.store;
        // Boxed, because the futures of a store with TLS are large.
        let seen = Box::pin(within(config.store_timeout, store.check())).await?;
        let mut checklist = self.checklist(Box::pin(probe(store, config)).await?);
        for seen in seen {
            match checklist.0.iter_mut().find(|item| item.name == seen.name) {
                Some(item) => *item = seen,
                None => checklist.0.push(seen),
            }
        }
        checklist.0.retain(|item| item.result != CheckResult::NotApplicable);
        Ok(checklist)
    }

    /// Every item of the guide, as far as the layer knows it without its store.
    fn checklist(&self, slowest: Duration) -> Checklist {
        let config = &*self.config;
        let is_shared = self.shared.store.is_shared();
        Checklist(vec![
            scope(config),
            namespace(config, is_shared),
            require_key(config),
            secret(config),
            encryption(config),
            on_outage(config),
            store_timeout(config),
            retention(config),
            values(config),
            max_in_flight(config),
            quota(config),
            new_keys(config, is_shared),
            store(is_shared),
            operations(config, slowest),
            of_store(is_shared, &SERVER),
            of_store(is_shared, &CLOCK),
            of_store(is_shared, &DURABILITY),
            of_store(is_shared, &EVICTION),
            of_store(is_shared, &SWEEP),
            of_store(is_shared, &DEAD_CLIENTS),
            of_store(is_shared, &TLS),
            Question::new(
                "authentication",
                "without it, a caller can claim any scope",
                "put it outside of the layer",
            )
            .unseen(),
            Question::new("host", TENANTS, "set `host_in_scope`, or put the tenant into the scope")
                .unseen(),
            Question::new(
                "rate limit",
                "any caller can fill the store",
                "put one outside of the layer",
            )
            .unseen(),
            of_store(is_shared, &OF_ITS_OWN),
            of_store(is_shared, &PERMISSIONS),
            of_store(is_shared, &REPLICAS),
        ])
    }
}

/// The result of [`IdempotencyLayer::check`]. [`Display`](fmt::Display) prints one line for each
/// item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checklist(Vec<CheckItem>);

impl Checklist {
    /// Every item that the store can have, in the order of the guide.
    pub fn iter(&self) -> std::slice::Iter<'_, CheckItem> {
        self.0.iter()
    }

    /// The items that the layer can see and that are not ready for production.
    pub fn open(&self) -> impl Iterator<Item = &CheckItem> {
        self.iter().filter(|item| item.result == CheckResult::Open)
    }
}

impl IntoIterator for Checklist {
    type Item = CheckItem;
    type IntoIter = std::vec::IntoIter<CheckItem>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Checklist {
    type Item = &'a CheckItem;
    type IntoIter = std::slice::Iter<'a, CheckItem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Checklist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{item}")?;
        }
        Ok(())
    }
}

/// A typical client gives up after this time. The store timeout must be shorter.
const CLIENT_PATIENCE: Duration = Duration::from_secs(10);

/// Clients retry for at least this long, manually and from queues.
const SHORTEST_RETENTION: Duration = Duration::from_hours(24);

const TENANTS: &str = "equal user ids on several hosts share their keys";

fn scope(config: &Config) -> CheckItem {
    let why = "all callers share their keys, and each can replay the responses of the others";
    set("scope", config.scope.is_some(), why, "set `scope`")
}

fn namespace(config: &Config, is_shared: bool) -> CheckItem {
    let why = "another service on this store can replay the responses of this one";
    let is_fine = !is_shared || !config.namespace.is_empty();
    let found = match config.namespace.as_str() {
        "" if is_shared => "not set".into(),
        "" => "not set, and the store belongs to this process".into(),
        name => format!("{name:?}"),
    };
    item("namespace", is_fine, found, why, "set `namespace`")
}

fn require_key(config: &Config) -> CheckItem {
    let why = "a client that forgets its key gets no protection";
    set("require_key", config.require_key, why, "call `require_key`")
}

fn secret(config: &Config) -> CheckItem {
    let why = "a reader of the store can try out guesses of keys, scopes and bodies";
    set("secret", config.secret.is_some(), why, "set `secret`")
}

fn encryption(config: &Config) -> CheckItem {
    let why = "a reader of the store sees the responses, and a writer can forge them";
    let (is_fine, found) = match &config.packing.encryption {
        Some(_) if config.packing.accepts_plain() => (false, "on, but plain records are accepted"),
        Some(_) => (true, "on"),
        None if config.stored.level == StoredResponse::Full => {
            (false, "off, and responses are stored whole")
        }
        None => {
            (false, "off; responses are stored without their bodies, but a forged one is replayed")
        }
    };
    let remedy = "set `encrypt` (feature `encryption`), and reject plain records when the retention \
                  has passed";
    item("encryption", is_fine, found.into(), why, remedy)
}

fn on_outage(config: &Config) -> CheckItem {
    let is_closed = config.policies.on_outage == OnOutage::FailClosed;
    let why = "while the store is down, each retry has another effect";
    item(
        "on_outage",
        is_closed,
        format!("{:?}", config.policies.on_outage),
        why,
        "set `OnOutage::FailClosed`",
    )
}

fn store_timeout(config: &Config) -> CheckItem {
    let why = "the client gives up before it learns that the store is down";
    let is_short = config.store_timeout < CLIENT_PATIENCE;
    item(
        "store_timeout",
        is_short,
        shortest(config.store_timeout),
        why,
        "set `store_timeout` to a few seconds",
    )
}

fn retention(config: &Config) -> CheckItem {
    let why = "a retry that comes later runs again";
    let is_long = config.retention >= SHORTEST_RETENTION;
    item(
        "retention",
        is_long,
        shortest(config.retention),
        why,
        "set `retention` to 24 hours or more",
    )
}

/// In the largest unit that leaves no rest. A day is 24 hours, as everywhere in this crate.
fn shortest(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if duration.subsec_nanos() > 0 || seconds == 0 {
        return format!("{duration:?}");
    }
    let units = [(24 * 60 * 60, "d"), (60 * 60, "h"), (60, "m")];
    let fits = |&(unit, name): &(u64, &str)| {
        seconds.is_multiple_of(unit) && (seconds > unit || name != "d")
    };
    let (unit, name) = units.into_iter().find(fits).unwrap_or((1, "s"));
    format!("{}{name}", seconds / unit)
}

fn values(config: &Config) -> CheckItem {
    let off = config
        .switched_off()
        .map(|SwitchedOff { setting, effect, .. }| format!("`{setting}` {effect}"));
    let off: Vec<_> = off.collect();
    let why = "a part of the layer is switched off";
    let is_fine = off.is_empty();
    let found = if is_fine { "no setting switches a part off".into() } else { off.join("; ") };
    item("values", is_fine, found, why, "set another value")
}

fn max_in_flight(config: &Config) -> CheckItem {
    let why = "a flood takes any amount of memory";
    set("max_in_flight", config.in_flight_limit.is_some(), why, "set `max_in_flight`")
}

fn quota(config: &Config) -> CheckItem {
    let why = "one tenant can take the capacity of all others";
    set("quota", config.quota.is_some(), why, "set `quota`")
}

fn new_keys(config: &Config, is_shared: bool) -> CheckItem {
    let why = "one tenant can fill the store";
    let (is_fine, found) = match (config.new_keys.is_some(), config.scope.is_some()) {
        (true, true) => (true, "limited"),
        (true, false) => (false, "limited, but without `scope` the limit has no effect"),
        (false, true) if !is_shared => {
            (true, "not limited; each scope has a share of the memory store")
        }
        (false, _) => (false, "not limited"),
    };
    let remedy = match (config.new_keys.is_some(), config.scope.is_some()) {
        (true, _) => "set `scope`",
        (false, true) => "set `new_keys_per_minute` (feature `quota`)",
        (false, false) => "set `scope` and `new_keys_per_minute` (feature `quota`)",
    };
    item("new keys", is_fine, found.into(), why, remedy)
}

fn store(is_shared: bool) -> CheckItem {
    let found = if is_shared { "outside of this process" } else { "in the memory of this process" };
    let why = "a restart forgets all keys, and other processes do not see them";
    item("store", is_shared, found.into(), why, "use Redis, PostgreSQL or SQLite")
}

fn operations(config: &Config, slowest: Duration) -> CheckItem {
    let why = "a load that makes the store slower gets 503";
    let is_fast = slowest < config.store_timeout / 4;
    let found = format!("each one works, the slowest within {} ms", slowest.as_millis() + 1);
    item("operations", is_fast, found, why, "find out what slows the store down")
}

fn set(name: &'static str, is_set: bool, why: &'static str, remedy: &'static str) -> CheckItem {
    item(name, is_set, if is_set { "set" } else { "not set" }.into(), why, remedy)
}

fn item(
    name: &'static str,
    is_fine: bool,
    found: String,
    why: &'static str,
    remedy: &'static str,
) -> CheckItem {
    CheckItem::new(name, is_fine, found, why, remedy)
}

/// A store in the memory of this process has no server.
fn of_store(is_shared: bool, question: &Question) -> CheckItem {
    if is_shared { question.unseen() } else { question.not_applicable() }
}

#[cfg(test)]
mod tests;
