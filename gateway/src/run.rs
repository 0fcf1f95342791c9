//! The life of the process: start, reload, drain.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::args::Args;
use crate::file::Beside;
use crate::gateway::Gateway;
use crate::identity::KeyServers;
use crate::operate::{Shown, Who, router};
use crate::plan::{Kept, Stores};
use crate::proxy::Tunnels;
use crate::serve::accept;
use crate::telemetry;
use crate::workers::Workers;

mod health;
mod reload;

use reload::Source;

/// Runs the gateway until it is told to end.
///
/// # Errors
///
/// A text that says why it cannot run.
pub(crate) fn run(args: &Args) -> Result<(), String> {
    if args.healthcheck {
        let source = Source::new(&args.config);
        return health::check(&source.file(&source.text()?)?);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let source = Source::new(&args.config);
        if args.check { check(&source).await } else { live(source).await }
    })
}

/// Tells whether the file is right. Nothing is bound, and no server is asked.
async fn check(source: &Source) -> Result<(), String> {
    let text = source.text()?;
    let mut kept = Kept {
        stores: Stores::default(),
        tunnels: Tunnels::new(Duration::ZERO),
        keys: KeyServers::unasked(),
        beside: Beside::default(),
    };
    let plan = source.plan(&source.file(&text)?, &text, &mut kept).await?;
    println!("{}: {} routes, nothing wrong", source.name(), plan.table.routes().count());
    Ok(())
}

async fn live(source: Source) -> Result<(), String> {
    let text = source.text()?;
    let file = source.file(&text)?;
    telemetry::log(&file.log)?;
    let metrics = telemetry::metrics()?;
    let mut kept = Kept {
        stores: Stores::default(),
        tunnels: Tunnels::new(file.timeouts.upgraded.0),
        keys: KeyServers::asked(),
        beside: Beside::default(),
    };
    let plan = source.plan(&file, &text, &mut kept).await?;
    let drain = plan.timeouts.drain.0;
    let places = Arc::new(Semaphore::new(plan.limits.connections));
    let gateway = Gateway::new(plan);
    let tunnels = kept.tunnels.clone();

    // Before the address is printed. Without a handler a signal would end the process at once.
    let told = |kind| signal(kind).map_err(|error| format!("signals cannot be awaited: {error}"));
    let (hang_up, terminate) = (told(SignalKind::hangup())?, told(SignalKind::terminate())?);

    let drains = Arc::new(AtomicBool::new(false));
    let scheme = if file.tls.is_some() { "https" } else { "http" };
    let (workers, workers_drained) =
        Workers::start(&gateway).map_err(|error| format!("a worker cannot start: {error}"))?;
    let mut listeners = JoinSet::new();
    for address in &file.listen.0 {
        let listener = bind(*address).await?;
        println!("listening on {scheme}://{}", local(&listener));
        listeners.spawn(accept(listener, Arc::clone(&places), workers.clone()));
    }
    drop(workers);
    if let Some(operators) = &file.operators {
        let who =
            Who::new(operators, source.folder()).map_err(|problem| source.told(&problem, &text))?;
        let shown = Shown {
            gateway: gateway.clone(),
            metrics: metrics.clone(),
            who: Arc::new(who),
            hosts: operators.value.hosts.clone().into(),
            drains: Arc::clone(&drains),
        };
        let listener = bind(operators.value.listen).await?;
        println!("operators on http://{}", local(&listener));
        tokio::spawn(async move { axum::serve(listener, router(shown)).await });
    }
    tokio::spawn(upkeep(metrics));
    let following = reload::keep_up_to_date(source, text, file, gateway.clone(), kept, hang_up);
    let reloading = tokio::spawn(following);

    told_to_end(terminate).await;
    drains.store(true, Ordering::Relaxed);
    reloading.abort();
    let drained = async {
        let plan = gateway.plan();
        let mut layers = JoinSet::new();
        for layer in &plan.stores {
            layers.spawn(layer.shutdown());
        }
        listeners.shutdown().await;
        workers_drained.wait().await;
        while layers.join_next().await.is_some() {}
        tunnels.drained().await;
    };
    if tokio::time::timeout(drain, drained).await.is_err() {
        let left = tunnels.count();
        tracing::warn!(tunnels = left, "the time to drain is over: what still runs is cut off");
        tunnels.end();
    }
    Ok(())
}

async fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| format!("{address}: {error}"))
}

fn local(listener: &TcpListener) -> String {
    listener.local_addr().map_or_else(|error| error.to_string(), |address| address.to_string())
}

/// Old figures of histograms are summed up now and then.
async fn upkeep(metrics: metrics_exporter_prometheus::PrometheusHandle) {
    loop {
        tokio::time::sleep(Duration::from_secs(5)).await;
        metrics.run_upkeep();
    }
}

/// Waits for SIGTERM or Ctrl-C.
async fn told_to_end(mut terminate: Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
