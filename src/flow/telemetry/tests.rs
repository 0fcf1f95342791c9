//! The list of all metrics, against which the alerts and the dashboard are checked.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use metrics::Unit;
use metrics_util::MetricKind;
use metrics_util::debugging::DebuggingRecorder;

use super::*;
use crate::store::operator::Stats;

const LIST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/ops/metrics.md");

const HEAD: &str = "\
# Metrics

Every metric of the crate. `namespace` and `route` are there if the layer labels its records.
`UPDATE_VECTORS=1 cargo test --all-features --lib telemetry` writes this file.

| metric | type | labels | what it says |
|---|---|---|---|
";

/// Sets every metric, with every label.
fn every_metric() {
    let label = Arc::new(RecordLabel::new("payments", "POST /payments"));
    let (label, began) = (Some(&label), Began::at(Instant::now()));
    describe();
    request(label, "executed");
    attempt(label, None);
    settled(label, "complete", "stored");
    retried(label, "complete", "stored");
    lease_lost(label, "taken");
    store_error(label, "reserve", StoreErrorKind::Timeout);
    event_lost();
    store_took(label, "reserve", began);
    handler_took(label, began);
    waited(label, began);
    gauges::of_process(1, 0);
    gauges::of_store(&Stats::default());
}

fn list() -> String {
    let recorder = DebuggingRecorder::new();
    metrics::with_local_recorder(&recorder, every_metric);
    let mut rows = BTreeMap::new();
    for (key, unit, description, _) in recorder.snapshotter().snapshot().into_vec() {
        let kind = match key.kind() {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        };
        let key = key.key();
        let unit = unit.filter(|unit| *unit != Unit::Count).map(|unit| unit.as_str());
        if let Some(unit) = unit {
            assert!(key.name().ends_with(unit), "{} is in {unit}", key.name());
        }
        let labels: Vec<_> = key.labels().map(|label| format!("`{}`", label.key())).collect();
        let description = description.unwrap_or_else(|| panic!("{} says nothing", key.name()));
        rows.insert(key.name().to_owned(), (kind, labels.join(", "), description.to_string()));
    }
    let mut list = HEAD.to_owned();
    for (name, (kind, labels, description)) in rows {
        writeln!(list, "| `{name}` | {kind} | {labels} | {description} |").unwrap();
    }
    list
}

#[test]
fn the_list_of_metrics_in_ops_is_that_of_the_crate() {
    let list = list();
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(LIST, &list).unwrap();
    }
    let written = std::fs::read_to_string(Path::new(LIST)).unwrap_or_default();
    assert_eq!(
        written, list,
        "ops/metrics.md is old: write it by `UPDATE_VECTORS=1 cargo test --all-features --lib \
         telemetry`, and look at the alerts and the dashboard"
    );
}
