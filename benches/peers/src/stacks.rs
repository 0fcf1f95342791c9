//! The same handlers, bare and behind each crate, each with its own defaults.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::{Next, from_fn};
use axum::serve::ListenerExt;
use hwhkit::core::{AppContext, IntegrationProvider};
use hwhkit::production::idempotency::IdempotencyLayer as Hwhkit;
use hwhkit::redis::{RedisHandle, RedisProvider};
use idempotent::memory::MemoryStore as IdempotentMemory;
use idempotent::middleware::IdempotencyLayer as Idempotent;
use idempotent::valkey::ValkeyStore;
use rustango::cache::{BoxedCache, InMemoryCache, redis_backend::RedisCache};
use rustango::idempotency::{IdempotencyLayer as Rustango, IdempotencyRouterExt};
use tower_idempotency::{MemoryStore, RedisStore};

use super::http_server::{bare, layer};
use super::{limit, probed};

/// All stacks in the order of the table. `bare` is what the others are compared with.
pub(crate) const STACKS: [&str; 6] =
    ["limit", "this crate", "idempotent", "rustango", "hwhkit", "from_fn"];

/// The store of a row.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Store {
    Memory,
    Redis,
}

/// True if the stack has the store. `from_fn` has none, and measures the path without a key.
pub(crate) fn has(stack: &str, store: Store) -> bool {
    stack != "from_fn" && !(stack == "hwhkit" && store == Store::Memory)
}

/// The header of the key that the stack reads. hwhkit reads no other.
pub(crate) fn header(stack: &str) -> &'static str {
    if stack == "limit" { super::load::HEADER } else { "Idempotency-Key" }
}

/// A lease that lapses within a probe. The figures are taken with the default of each stack.
pub(crate) const SHORT_LEASE: Duration = Duration::from_secs(1);

/// Serves until the process is killed. The first line of its output is the address.
pub(crate) fn serve(stack: &str, store: &str, handlers: &str) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.unwrap().block_on(async {
        let probed = handlers == "probed";
        let app = if probed { probed::handlers() } else { bare() };
        let lease = probed.then_some(SHORT_LEASE);
        let app = match stack {
            "bare" => app,
            "from_fn" => app.layer(from_fn(|request, next: Next| next.run(request))),
            "limit" if store == "memory" => limit::memory(),
            "limit" => limit::redis(store).await,
            "this crate" => this_crate(app, store, lease),
            "idempotent" => idempotent(app, store, lease).await,
            "rustango" => rustango(app, store, lease).await,
            "hwhkit" => hwhkit(app, store).await,
            other => panic!("unknown stack {other}"),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        std::io::stdout().flush().unwrap();
        axum::serve(listener.tap_io(|tcp| tcp.set_nodelay(true).unwrap()), app).await.unwrap();
    });
}

fn this_crate(app: Router, store: &str, lease: Option<Duration>) -> Router {
    if store == "memory" {
        // The whole load uses one scope.
        let layer = layer(MemoryStore::new().scope_share(100));
        return app.layer(match lease {
            Some(lease) => layer.lease(lease),
            None => layer,
        });
    }
    let layer = layer(RedisStore::open(store).unwrap());
    app.layer(match lease {
        Some(lease) => layer.lease(lease),
        None => layer,
    })
}

async fn idempotent(app: Router, store: &str, lease: Option<Duration>) -> Router {
    if store == "memory" {
        let layer = Idempotent::new(IdempotentMemory::builder().try_build().unwrap());
        return app.layer(match lease {
            Some(lease) => layer.processing_ttl(lease),
            None => layer,
        });
    }
    let layer = Idempotent::new(ValkeyStore::with_url(store).try_build().await.unwrap());
    app.layer(match lease {
        Some(lease) => layer.processing_ttl(lease),
        None => layer,
    })
}

async fn rustango(app: Router, store: &str, lease: Option<Duration>) -> Router {
    let cache: BoxedCache = if store == "memory" {
        // Unbounded, so that it stores all that it is sent.
        Arc::new(InMemoryCache::new().with_max_bytes(0).with_max_entries(0))
    } else {
        Arc::new(RedisCache::new(store).await.unwrap())
    };
    let layer = Rustango::new(cache);
    app.idempotency(match lease {
        Some(lease) => layer.lock_ttl(lease),
        None => layer,
    })
}

/// hwhkit has no lease, and stores in Redis only.
async fn hwhkit(app: Router, store: &str) -> Router {
    let mut config = hwhkit::config::AppConfig::default();
    config.integrations.redis.enabled = true;
    config.integrations.redis.url = store.to_owned();
    let mut context = AppContext::default();
    RedisProvider.init(&mut context, &config).await.unwrap();
    app.layer(Hwhkit::new(RedisHandle::clone(&context.get::<RedisHandle>().unwrap())))
}
