//! The server: it pays, and enters each payment into a ledger.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use http::StatusCode;
use tower_idempotency::InFlight;

use crate::support::layer;
use crate::support::random::Draw;

/// The payments of each name. Clones share them.
#[derive(Clone)]
pub(super) struct Bank(Arc<Shared>);

struct Shared {
    draw: Mutex<Draw>,
    is_calm: AtomicBool,
    payments: Mutex<HashMap<String, Vec<String>>>,
}

impl Bank {
    pub(super) fn new(draw: Draw) -> Self {
        Self(Arc::new(Shared {
            draw: Mutex::new(draw),
            is_calm: AtomicBool::new(false),
            payments: Mutex::default(),
        }))
    }

    /// Guarded by the layer.
    pub(super) fn app(&self) -> Router {
        let bank = self.clone();
        let pay = move |name: String| async move { bank.pay(name).await };
        let layer = layer().in_flight(InFlight::Wait(Duration::from_secs(5)));
        Router::new().route("/payments", post(pay)).layer(layer)
    }

    /// Rejects nothing more.
    pub(super) fn calm(&self) {
        self.0.is_calm.store(true, Ordering::Relaxed);
    }

    /// The payments of each name, in their order.
    pub(super) fn payments(&self) -> HashMap<String, Vec<String>> {
        self.0.payments.lock().unwrap().clone()
    }

    pub(super) fn paid_more_than_once(&self) -> HashMap<String, Vec<String>> {
        self.payments().into_iter().filter(|(_, ids)| ids.len() > 1).collect()
    }

    async fn pay(&self, name: String) -> (StatusCode, String) {
        let (chance, before, after) = {
            let mut draw = self.0.draw.lock().unwrap();
            (draw.index(100), draw.millis(0, 3), draw.millis(0, 3))
        };
        tokio::time::sleep(before).await;
        if !self.0.is_calm.load(Ordering::Relaxed) {
            let rejection = match chance {
                0..4 => Some(StatusCode::INTERNAL_SERVER_ERROR),
                4..6 => Some(StatusCode::UNPROCESSABLE_ENTITY),
                6..8 => Some(StatusCode::TOO_MANY_REQUESTS),
                // This one is final: the layer stores it.
                8..12 => Some(StatusCode::PAYMENT_REQUIRED),
                _ => None,
            };
            if let Some(status) = rejection {
                return (status, "not paid".to_owned());
            }
        }
        let id = {
            let mut payments = self.0.payments.lock().unwrap();
            let ids = payments.entry(name.clone()).or_default();
            let id = format!("payment {} of {name}", ids.len() + 1);
            ids.push(id.clone());
            id
        };
        tokio::time::sleep(after).await;
        (StatusCode::CREATED, id)
    }
}
