//! Logs and metrics of the process.

use std::io::IsTerminal;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::file::{Log, LogFormat};

mod figures;

pub(crate) use figures::{
    Figures, JWKS_FAILURES, Open, RELOAD_FAILURES, RELOADS, UPSTREAM_FAILURES,
};

/// The bounds of histograms in seconds. An operation may take a millisecond or a minute.
const SECONDS: [f64; 13] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0, 60.0];

/// Begins to write logs to standard error. `RUST_LOG` has precedence over the file.
///
/// # Errors
///
/// If the level is malformed.
pub(crate) fn log(log: &Log) -> Result<(), String> {
    let level = log.level.as_deref().unwrap_or("info");
    let filter = match std::env::var("RUST_LOG") {
        Ok(level) if !level.is_empty() => level,
        _ => level.to_owned(),
    };
    let filter =
        EnvFilter::try_new(&filter).map_err(|error| format!("log.level `{filter}`: {error}"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}

/// Begins to count.
///
/// # Errors
///
/// If something else counts in this process.
pub(crate) fn metrics() -> Result<PrometheusHandle, String> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error| error.to_string())?;
    figures::describe();
    Ok(handle)
}
