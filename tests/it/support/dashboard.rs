//! The queries of the dashboard in `ops`.

use serde_json::Value;

const DASHBOARD: &str = include_str!("../../../ops/dashboard.json");

/// A query, and where it is.
pub(crate) struct PanelQuery {
    /// The title of the panel. Empty: a variable or an annotation.
    pub(crate) panel: String,
    pub(crate) query: String,
    /// The pattern of the legend.
    pub(crate) legend: String,
}

/// Every query of the dashboard.
pub(crate) fn queries() -> Vec<PanelQuery> {
    let mut queries = Vec::new();
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    for part in ["templating", "annotations"] {
        add(&dashboard[part], "", &mut queries);
    }
    for panel in dashboard["panels"].as_array().unwrap() {
        add(panel, panel["title"].as_str().unwrap(), &mut queries);
    }
    assert!(queries.len() > 30, "the queries were not found");
    queries
}

fn add(value: &Value, panel: &str, queries: &mut Vec<PanelQuery>) {
    match value {
        Value::Object(members) => {
            let text = |name: &str| members.get(name).and_then(Value::as_str);
            for query in ["expr", "definition"].into_iter().filter_map(text) {
                queries.push(PanelQuery {
                    panel: panel.to_owned(),
                    query: query.to_owned(),
                    legend: text("legendFormat").unwrap_or_default().to_owned(),
                });
            }
            members.values().for_each(|value| add(value, panel, queries));
        }
        Value::Array(values) => values.iter().for_each(|value| add(value, panel, queries)),
        _ => {}
    }
}
