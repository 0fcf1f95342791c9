//! Incidents of eight kinds are planted, and each is found and settled by the commands of the guide
//! `runbook`, taken word for word. Then each client retries, and gets what the runbook says.
//!
//! `INCIDENTS=125` plants 1,000 of them on each store.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tower_idempotency::store::operator::RecordState;
use tower_idempotency::store::{StorageKey, Store};
use tower_idempotency::{EncryptionKeys, IdempotencyKey, Scope};

use self::commands::{Desk, Runbook, Values};
use self::service::{Account, Heard, Ledger, Service, layer};
use crate::support::patiently;
use crate::support::random::setting;
use crate::support::site::{Site, open};

mod commands;
mod service;

/// The key under which responses were encrypted, and the one after it was lost.
const LOST: [u8; 32] = [1; 32];
const NEW: [u8; 32] = [2; 32];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_incident_is_settled_as_the_runbook_says_on_redis() {
    run(&Site::redis()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_incident_is_settled_as_the_runbook_says_on_postgresql() {
    run(&Site::postgres()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_incident_is_settled_as_the_runbook_says_on_sqlite() {
    run(&Site::sqlite()).await;
}

/// What the incidents of one store share.
struct Scene {
    number: usize,
    runbook: Runbook,
    desk: Desk,
    ledger: Ledger,
    service: Service,
    body: String,
}

async fn run(site: &Site) {
    let begun = Instant::now();
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::at(&directory.path().join("ledger"));
    let body = directory.path().join("body.json");
    std::fs::write(&body, BODY).unwrap();
    let scene = Scene {
        number: setting("INCIDENTS", 4),
        runbook: Runbook::read(),
        desk: Desk::of(&site.url()),
        service: Service::new(layer(open(&site.url()).await), &ledger),
        ledger,
        body: body.to_str().unwrap().to_owned(),
    };
    scene.killed(site, 1, "before").await;
    scene.killed(site, 2, "after").await;
    scene.killed(site, 3, "unstored").await;
    scene.key_lost(site).await;
    scene.not_retained().await;
    scene.provider_timed_out().await;
    scene.reported_twice().await;
    scene.erased().await;
    println!(
        "{}: {} incidents, {} commands, {:.1} s",
        site.url(),
        8 * scene.number,
        scene.desk.ran(),
        begun.elapsed().as_secs_f64()
    );
}

/// What an operator knows that the handler would have responded.
const BODY: &str = r#"{"paid":"by hand"}"#;

impl Scene {
    fn accounts(&self, incident: usize) -> Vec<Account> {
        (0..self.number).map(|number| Account::of(incident, number)).collect()
    }

    /// Runs the commands of an incident for each record, and looks whether the first one finds it.
    fn settle(&self, incident: usize, keys: &[StorageKey]) {
        let commands = self.runbook.commands(incident);
        assert!(commands.len() <= 3, "incident {incident} has {} commands", commands.len());
        let (looks, rest) = commands.split_at(usize::from(commands[0].contains(" list ")));
        for look in looks {
            let found = self.desk.run(look, &Values::default(), 0);
            for key in keys {
                let digits = &key.to_hex()[..8];
                assert!(found.contains(digits), "incident {incident}: {look} finds {digits}");
            }
        }
        for key in keys {
            let digits = key.to_hex()[..8].to_owned();
            let values = Values { key: digits, body: self.body.clone(), ..Values::default() };
            for command in rest {
                self.desk.run(command, &values, 0);
            }
        }
    }

    async fn all_get(&self, accounts: &[Account], expected: &Heard, effects: usize) {
        for account in accounts {
            let heard = self.service.pay(account, "pay").await;
            assert_eq!(heard, *expected, "{account:?}");
            assert_eq!(self.ledger.effects(account), effects, "{account:?}");
        }
    }

    /// A process dies with its operations.
    async fn killed(&self, site: &Site, incident: usize, when: &str) {
        let accounts = self.accounts(incident);
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "faults::incidents::a_service_that_is_killed", "--ignored"]);
        command.arg("--nocapture").stdout(std::process::Stdio::piped()).kill_on_drop(true);
        command.env("INCIDENT_STORE", site.url()).env("INCIDENT_LEDGER", self.ledger.path());
        command.env("INCIDENT_WHEN", when).env("INCIDENT_NUMBER", incident.to_string());
        command.env("INCIDENT_COUNT", self.number.to_string());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let is_ready = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.contains("all operations are there") {
                    return true;
                }
            }
            false
        };
        assert!(patiently(is_ready).await, "the service ended before all operations were there");
        child.kill().await.unwrap();
        let keys = self.service.keys(&accounts);
        self.service.wait_until_abandoned(&keys).await;
        for account in &accounts {
            let heard = self.service.pay(account, "pay").await;
            assert_eq!(heard.code(), Some("idempotency_outcome_unknown"), "{account:?}");
        }
        self.settle(incident, &keys);
        match incident {
            1 => self.all_get(&accounts, &Heard::paid(), 1).await,
            2 => self.all_get(&accounts, &Heard::replay(BODY), 1).await,
            _ => self.all_get(&accounts, &Heard::not_retained(201), 1).await,
        }
    }

    async fn key_lost(&self, site: &Site) {
        let accounts = self.accounts(4);
        let store = open(&site.url()).await;
        let with = |number, key| {
            let encrypting = layer(store.clone()).encrypt(EncryptionKeys::new(number, key));
            Service::new(encrypting, &self.ledger)
        };
        let (before, after) = (with(1, LOST), with(2, NEW));
        for account in &accounts {
            assert_eq!(before.pay(account, "pay").await, Heard::paid());
            let heard = after.pay(account, "pay").await;
            assert_eq!(heard.code(), Some("idempotency_store_unavailable"), "{account:?}");
        }
        let digits = StorageKey::from_bytes(NEW).to_hex();
        let keyed = Self {
            desk: self.desk.with("IDEMPOTENCY_ENCRYPTION_KEY", &format!("2:{digits}")),
            service: after,
            runbook: Runbook::read(),
            ledger: self.ledger.clone(),
            body: self.body.clone(),
            ..*self
        };
        keyed.settle(4, &keyed.service.keys(&accounts));
        keyed.all_get(&accounts, &Heard::replay(BODY), 1).await;
    }

    async fn not_retained(&self) {
        let accounts = self.accounts(5);
        for account in &accounts {
            assert_eq!(self.service.pay(account, "large").await.status(), 201);
            assert_eq!(self.service.pay(account, "pay").await, Heard::not_retained(201));
        }
        self.settle(5, &self.service.keys(&accounts));
        self.all_get(&accounts, &Heard::replay(BODY), 1).await;
    }

    async fn provider_timed_out(&self) {
        let accounts = self.accounts(6);
        self.time_out(&accounts).await;
        self.settle(6, &self.service.keys(&accounts));
        self.all_get(&accounts, &Heard::replay(BODY), 1).await;
    }

    async fn time_out(&self, accounts: &[Account]) {
        for account in accounts {
            assert_eq!(self.service.pay(account, "timeout").await.status(), 504);
            let heard = self.service.pay(account, "pay").await;
            assert_eq!(heard.code(), Some("idempotency_attempt_failed"), "{account:?}");
        }
    }

    async fn reported_twice(&self) {
        let accounts = self.accounts(7);
        self.time_out(&accounts).await;
        let report = self.runbook.commands(6).pop().unwrap();
        for key in self.service.keys(&accounts) {
            let digits = key.to_hex()[..8].to_owned();
            let values = Values { key: digits, body: self.body.clone(), ..Values::default() };
            self.desk.run(&report, &values, 0);
            self.desk.run(&report, &values, 4);
            let [look] = &self.runbook.commands(7)[..] else { panic!("one command") };
            let shown = self.desk.run(look, &values, 0);
            assert_eq!(shown.matches("respond").count(), 1, "one entry in the history: {shown}");
        }
        self.all_get(&accounts, &Heard::replay(BODY), 1).await;
    }

    /// Each fifth incident has a tenant of its own, with five operations.
    async fn erased(&self) {
        let accounts = self.accounts(8);
        let tenants: BTreeSet<_> = accounts.iter().map(|account| account.name.clone()).collect();
        for account in &accounts {
            assert_eq!(self.service.pay(account, "pay").await, Heard::paid());
        }
        let [before, erase, after] = &self.runbook.commands(8)[..] else { panic!("3 commands") };
        for tenant in tenants {
            let values = Values { scope: tenant.clone(), ..Values::default() };
            let found = self.desk.run(before, &values, 0);
            let of_tenant: Vec<_> =
                accounts.iter().filter(|account| account.name == tenant).cloned().collect();
            for key in self.service.keys(&of_tenant) {
                assert!(found.contains(&key.to_hex()[..8]), "{tenant} has {key}: {found}");
            }
            self.desk.run(erase, &values, 0);
            self.desk.run(after, &values, 3);
        }
        self.all_get(&accounts, &Heard::paid(), 2).await;
    }
}

impl Service {
    fn keys(&self, accounts: &[Account]) -> Vec<StorageKey> {
        let operator = self.layer.operator("test").unwrap();
        let key = |account: &Account| {
            let key = IdempotencyKey::parse(account.key.as_bytes()).unwrap();
            operator.storage_key(&Scope::new(&account.name), &key)
        };
        accounts.iter().map(key).collect()
    }

    async fn wait_until_abandoned(&self, keys: &[StorageKey]) {
        let operator = self.layer.operator("test").unwrap();
        for key in keys {
            let is_abandoned = async {
                loop {
                    let shown = operator.show(key).await.unwrap().record.unwrap();
                    if shown.state == RecordState::Abandoned {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            patiently(is_abandoned).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a process that the tests beside it start and kill"]
async fn a_service_that_is_killed() {
    let variable = |name| std::env::var(name).expect("the tests beside it start it");
    let number = |name| variable(name).parse::<usize>().unwrap();
    let store = open(&variable("INCIDENT_STORE")).await;
    store.ping().await.unwrap();
    let ledger = Ledger::at(variable("INCIDENT_LEDGER").as_ref());
    let when = variable("INCIDENT_WHEN");
    let incident = number("INCIDENT_NUMBER");
    let accounts = (0..number("INCIDENT_COUNT")).map(|number| Account::of(incident, number));
    service::hang(store, ledger, accounts, &when).await;
}
