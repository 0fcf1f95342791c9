//! The life of the process: start, reload, drain.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::args::Args;
use crate::file::Beside;
use crate::gateway::Gateway;
use crate::identity::KeyServers;
use crate::operate::{Shown, Who, router};
use crate::plan::{Kept, Stores};
use crate::proxy::Tunnels;
use crate::{serve, telemetry};

mod reload;

use reload::Source;

/// Runs the gateway until it is told to end.
///
/// # Errors
///
/// Why it cannot run, for a person.
pub(crate) fn run(args: &Args) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
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
    let plan = source.plan(&text, &mut kept).await?;
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
    let plan = source.plan(&text, &mut kept).await?;
    let drain = plan.timeouts.drain.0;
    let places = Arc::new(Semaphore::new(plan.limits.connections));
    let gateway = Gateway::new(plan);
    let tunnels = kept.tunnels.clone();

    let (end, ended) = watch::channel(false);
    let drains = Arc::new(AtomicBool::new(false));
    let mut servers = JoinSet::new();
    for address in &file.listen.0 {
        let listener = bind(*address, if file.tls.is_some() { "https" } else { "http" }).await?;
        let mut ended = ended.clone();
        // An error means that the sender is gone, and with it the process.
        let ended = async move {
            let _ = ended.wait_for(|is_so| *is_so).await;
        };
        servers.spawn(serve::serve(listener, gateway.clone(), Arc::clone(&places), ended));
    }
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
        let listener = TcpListener::bind(operators.value.listen)
            .await
            .map_err(|error| format!("{}: {error}", operators.value.listen))?;
        println!("operators on http://{}", local(&listener));
        tokio::spawn(async move { axum::serve(listener, router(shown)).await });
    }
    tokio::spawn(upkeep(metrics));
    let reloading = tokio::spawn(reload::keep_up_to_date(source, text, gateway.clone(), kept));

    told_to_end().await;
    drains.store(true, Ordering::Relaxed);
    reloading.abort();
    let drained = async {
        let plan = gateway.plan();
        let mut layers = JoinSet::new();
        for layer in &plan.stores {
            layers.spawn(layer.shutdown());
        }
        end.send_replace(true);
        while servers.join_next().await.is_some() {}
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

async fn bind(address: std::net::SocketAddr, scheme: &str) -> Result<TcpListener, String> {
    let listener =
        TcpListener::bind(address).await.map_err(|error| format!("{address}: {error}"))?;
    println!("listening on {scheme}://{}", local(&listener));
    Ok(listener)
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
async fn told_to_end() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
