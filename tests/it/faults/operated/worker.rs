//! A process that executes operations, many at a time, until it is done or killed.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tower_idempotency::operate::{EventKind, Notice};
use tower_idempotency::store::{DynStore, Token};
use tower_idempotency::{
    Attempt, Fingerprint, IdempotencyKey, IdempotencyLayer, OnAbandoned, OnFailed, Scope,
};

use super::notes::{Kind, Note, Pen, finished, now};
use crate::support::random::Draw;
use crate::support::site::open;

/// How many calls run at a time.
pub(super) const AT_ONCE: usize = 12;
/// How often each key is called, about.
const CALLS: usize = 5;
/// Short, so that operators find abandoned records.
const LEASE: Duration = Duration::from_millis(400);

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Setting {
    pub(super) url: String,
    pub(super) notes: PathBuf,
    pub(super) number: usize,
    pub(super) operations: usize,
    pub(super) seed: u64,
}

impl Setting {
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap()
    }

    pub(super) fn of_json(text: &str) -> Self {
        serde_json::from_str(text).unwrap()
    }
}

/// The layer of the workers and of the operators. Operations that were cut off or failed are left to the
/// operators, so that a second effect is always one that an operator asked for.
pub(super) fn layer(store: DynStore) -> IdempotencyLayer<DynStore> {
    IdempotencyLayer::new(store)
        .namespace("operated")
        .lease(LEASE)
        .store_timeout(Duration::from_secs(10))
        .on_abandoned(OnAbandoned::Reject)
        .on_failed(OnFailed::Reject)
        .label_records()
}

pub(super) fn scope() -> Scope {
    Scope::new("account")
}

pub(super) fn key(number: usize) -> IdempotencyKey {
    IdempotencyKey::parse(format!("key-{number}").as_bytes()).unwrap()
}

pub(super) async fn work(setting: Setting) {
    let done = finished(&setting.notes);
    let pen = Arc::new(Pen::at(&setting.notes));
    let layer = noting(layer(open(&setting.url).await), &pen, setting.seed);
    let next = Arc::new(AtomicUsize::new(done));
    let mut calls = JoinSet::new();
    for caller in 0..AT_ONCE {
        let seed = setting.seed ^ (setting.number * 100_000 + done * 100 + caller) as u64;
        let (setting, pen, layer, next) =
            (setting.clone(), Arc::clone(&pen), layer.clone(), Arc::clone(&next));
        calls.spawn(async move {
            let mut draw = Draw::from_seed(seed);
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= setting.operations {
                    return;
                }
                // All workers are at about the same keys.
                let key = number * super::WORKERS / CALLS + draw.index(20);
                call(&layer, &pen, key, &mut draw).await;
            }
        });
    }
    calls.join_all().await;
    layer.shutdown().await;
}

/// The layer, which writes down each event.
pub(super) fn noting(
    layer: IdempotencyLayer<DynStore>,
    pen: &Arc<Pen>,
    seed: u64,
) -> IdempotencyLayer<DynStore> {
    let life = now() ^ seed << 20 ^ u64::from(std::process::id()) << 44;
    let pen = Arc::clone(pen);
    layer.on_event(move |notice| {
        pen.write(&match notice {
            Notice::Event(event) => Note::Event {
                life,
                number: event.number,
                key: event.key.to_hex(),
                token: event.token.map_or_else(String::new, hex),
                kind: kind(&event.kind),
            },
            _ => Note::Lost { life },
        });
        std::future::ready(())
    })
}

fn kind(kind: &EventKind) -> Kind {
    match *kind {
        EventKind::Reserved { replaces, .. } => Kind::Reserved { replaces: replaces.map(hex) },
        EventKind::Completed { .. } | EventKind::Failed { .. } => Kind::Ended,
        EventKind::Released => Kind::Released,
        EventKind::Changed { token, .. } => Kind::Changed { to: token.map(hex) },
        _ => Kind::Other,
    }
}

pub(super) fn hex(token: Token) -> String {
    format!("{:032x}", u128::from_be_bytes(*token.as_bytes()))
}

async fn call(layer: &IdempotencyLayer<DynStore>, pen: &Arc<Pen>, number: usize, draw: &mut Draw) {
    let id = format!("{:016x}", draw.next());
    let (before, after) = (draw.millis(0, 6), draw.millis(0, 6));
    // Sometimes the provider has done it, and the service cannot tell.
    let fails = draw.chance(15);
    let begun = now();
    let operation = {
        let pen = Arc::clone(pen);
        move |_: Attempt| {
            let (pen, id) = (Arc::clone(&pen), id.clone());
            async move {
                tokio::time::sleep(before).await;
                pen.write(&Note::Effect { key: number, id: id.clone() });
                tokio::time::sleep(after).await;
                if fails { Err("the provider timed out".to_owned()) } else { Ok(id) }
            }
        }
    };
    let fingerprint = Fingerprint::of_fields(["pay"]);
    let executed = layer.execute(&scope(), &key(number), fingerprint, operation).await;
    pen.write(&match executed {
        Ok(executed) => Note::Heard {
            key: number,
            begun,
            ended: now(),
            id: executed.value,
            is_replay: executed.is_replay,
        },
        Err(_) => Note::Rejected { key: number },
    });
}
