//! The alerts and the dashboard name only metrics, labels and values that the crate has. Each alert
//! says what to do, and has a section of the runbook and a test.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

mod promql;

use crate::support::dashboard::{self, PanelQuery};
use promql::{Matcher, Query};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).into()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What Prometheus adds to every series.
const OF_PROMETHEUS: [&str; 2] = ["job", "instance"];

/// The metrics of the crate.
struct Metrics(BTreeMap<String, Metric>);

struct Metric {
    is_histogram: bool,
    labels: BTreeSet<String>,
}

impl Metrics {
    /// From the list that a unit test compares with the crate.
    fn listed() -> Self {
        let list = read("ops/metrics.md");
        let rows = list.lines().filter(|line| line.starts_with("| `"));
        let metrics: BTreeMap<_, _> = rows
            .map(|row| {
                let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
                let labels = cells[2].split(',').map(|label| label.trim().trim_matches('`'));
                let labels = labels.filter(|label| !label.is_empty());
                let metric = Metric {
                    is_histogram: cells[1] == "histogram",
                    labels: labels.map(str::to_owned).collect(),
                };
                (cells[0].trim_matches('`').to_owned(), metric)
            })
            .collect();
        assert!(metrics.len() > 15, "the metrics were not found");
        Self(metrics)
    }

    /// The labels of a series of this name. `None`: the crate has no such metric.
    fn labels(&self, series: &str) -> Option<BTreeSet<&str>> {
        let parts = ["_bucket", "_sum", "_count"];
        let part = parts.into_iter().find_map(|part| Some((part, series.strip_suffix(part)?)));
        let (metric, is_bucket) = match (self.0.get(series), part) {
            (Some(metric), _) => (metric, false),
            (None, Some((part, name))) => (self.0.get(name)?, part == "_bucket"),
            (None, None) => return None,
        };
        // A histogram has no series of its own name.
        if metric.is_histogram == self.0.contains_key(series) {
            return None;
        }
        let labels = metric.labels.iter().map(String::as_str).chain(OF_PROMETHEUS);
        Some(labels.chain(is_bucket.then_some("le")).collect())
    }
}

/// The text of the crate, in which every value of a label is written out.
fn source() -> String {
    fn add(folder: &Path, text: &mut String) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                add(&path, text);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut text = String::new();
    add(&root().join("src"), &mut text);
    text
}

/// What is wrong with a query.
fn faults(query: &str, metrics: &Metrics, source: &str, faults: &mut Vec<String>) {
    let mut known = BTreeSet::from(OF_PROMETHEUS);
    let query = Query::read(query);
    for (series, matchers) in &query.series {
        let Some(labels) = metrics.labels(series) else {
            faults.push(format!("there is no metric {series}"));
            continue;
        };
        for Matcher { label, values } in matchers {
            if !labels.contains(label.as_str()) {
                faults.push(format!("{series} has no label {label}"));
            }
            let missing = values.iter().filter(|value| !source.contains(&format!("\"{value}\"")));
            faults.extend(missing.map(|value| format!("{series} has no {label} {value:?}")));
        }
        known.extend(labels);
    }
    let grouped = query.labels.iter().filter(|label| !known.contains(label.as_str()));
    faults.extend(grouped.map(|label| format!("no metric of this query has the label {label}")));
}

/// The queries of the rules.
fn of_rules(rules: &str) -> Vec<String> {
    let mut queries = Vec::new();
    let mut lines = rules.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((indent, query)) = line.split_once("expr: ") else { continue };
        let mut query = query.trim_start_matches('|').to_owned();
        let is_inside = |line: &&str| line.len() - line.trim_start().len() > indent.len();
        while let Some(line) = lines.next_if(is_inside) {
            query.push('\n');
            query.push_str(line);
        }
        queries.push(query);
    }
    queries
}

#[test]
fn alerts_and_dashboard_name_only_metrics_labels_and_values_of_the_crate() {
    let (metrics, source) = (Metrics::listed(), source());
    let mut wrong = Vec::new();
    let rules = of_rules(&read("ops/alerts.yml"));
    assert!(rules.len() > 15, "the queries of the rules were not found");
    for PanelQuery { query, legend, .. } in dashboard::queries() {
        faults(&query, &metrics, &source, &mut wrong);
        // A legend that names a label which the query drops is empty.
        for label in legend.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap()) {
            if !Query::read(&query).labels.iter().any(|grouped| grouped == label) {
                wrong.push(format!("the legend {legend:?} names a label that {query} drops"));
            }
        }
    }
    for query in &rules {
        faults(query, &metrics, &source, &mut wrong);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_query_with_a_wrong_metric_label_or_value_is_found() {
    let (metrics, source) = (Metrics::listed(), source());
    let wrong = [
        "idempotency_request_total",
        "rate(idempotency_store_seconds[1m])",
        "idempotency_in_flight_count",
        r#"idempotency_requests_total{outcome="executed"}"#,
        r#"idempotency_requests_total{result=~"executed|carried_out"}"#,
        "sum by (kind) (idempotency_requests_total)",
        "up == 0 and on (cause) idempotency_in_flight",
        "sum by (le) (rate(idempotency_store_seconds_sum[1m]))",
    ];
    for query in wrong {
        let mut found = Vec::new();
        faults(query, &metrics, &source, &mut found);
        assert_eq!(found.len(), 1, "{query}: {found:?}");
    }
}

#[test]
fn each_alert_says_how_urgent_it_is_and_what_happens_and_has_a_section_and_a_test() {
    let (rules, runbook) = (read("ops/alerts.yml"), read("src/guide/runbook.md"));
    let tests = read("ops/alerts_test.yml");
    let alerts: Vec<_> = rules.split("- alert: ").skip(1).collect();
    assert!(alerts.len() > 10, "the alerts were not found");
    for alert in &alerts {
        let name = alert.lines().next().unwrap();
        let anchor = format!("guide/runbook/index.html#{}\n", name.to_lowercase());
        for part in ["summary: ", "description: ", &anchor] {
            assert!(alert.contains(part), "{name} has no {part}");
        }
        let is_critical = alert.contains("severity: critical");
        assert!(is_critical || alert.contains("severity: warning"), "{name}");
        assert!(runbook.contains(&format!("## `{name}`\n")), "the runbook has no section {name}");
        let fires = format!(r#"alertname="{name}",alertstate="firing""#);
        assert!(tests.contains(&fires), "ops/alerts_test.yml has no test in which {name} fires");
    }
    let sections = runbook.lines().filter(|line| line.starts_with("## `Idempotency")).count();
    assert_eq!(sections, alerts.len(), "the runbook has a section of an alert that is gone");
}
