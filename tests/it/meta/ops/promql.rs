//! As much of `PromQL` as it takes to find the series and the labels in a query.

/// What a query names.
#[derive(Default)]
pub(crate) struct Query {
    /// The series of this crate, with the conditions on their labels.
    pub(crate) series: Vec<(String, Vec<Matcher>)>,
    /// The labels by which it groups and joins.
    pub(crate) labels: Vec<String>,
}

/// A condition on a label.
pub(crate) struct Matcher {
    pub(crate) label: String,
    /// The values that are written out.
    pub(crate) values: Vec<String>,
}

impl Query {
    pub(crate) fn read(query: &str) -> Self {
        let mut read = Self::default();
        let mut rest = query;
        while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic() || c == '"') {
            rest = &rest[start..];
            if let Some(text) = rest.strip_prefix('"') {
                rest = text.split_once('"').expect("a text ends").1;
                continue;
            }
            let end = rest.find(|c: char| !is_of_name(c)).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            rest = after;
            if matches!(name, "by" | "on" | "without" | "ignoring") {
                let (labels, after) = between(rest, '(', ')').expect("labels in parentheses");
                let labels = labels.split(',').map(str::trim).filter(|label| !label.is_empty());
                read.labels.extend(labels.map(str::to_owned));
                rest = after;
            } else if name.starts_with("idempotency_") {
                let (matchers, after) = between(rest, '{', '}').unwrap_or(("", rest));
                read.series.push((name.to_owned(), matchers_of(matchers)));
                rest = after;
            }
        }
        read
    }
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// The text between two brackets with which `text` begins, and what comes after it.
fn between(text: &str, open: char, close: char) -> Option<(&str, &str)> {
    text.trim_start().strip_prefix(open)?.split_once(close)
}

/// No value here contains a comma, a quote or a closing brace.
fn matchers_of(matchers: &str) -> Vec<Matcher> {
    let matchers = matchers.split(',').map(str::trim).filter(|matcher| !matcher.is_empty());
    matchers
        .map(|matcher| {
            let (label, value) = matcher.split_once(['=', '!']).expect("a condition");
            let value = value.trim_start_matches(['=', '~']).trim_matches('"');
            // A variable of the dashboard, or a pattern.
            let is_written_out = |value: &&str| !value.contains(['$', '.', '*', '+']);
            let values = value.split('|').filter(is_written_out).map(str::to_owned);
            Matcher { label: label.trim().to_owned(), values: values.collect() }
        })
        .collect()
}
