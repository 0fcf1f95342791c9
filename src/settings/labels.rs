//! The labels of records: one for each route, shared by all of its requests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use http::request::Parts;

use crate::record::label::RecordLabel;
use crate::runtime::lock::lock;

/// How many routes have a label of their own. A function that returns the path instead of its
/// template would otherwise fill the memory, and the labels of the metrics.
const ROUTES: usize = 1000;

/// The route of all requests beyond that.
const OTHER: &str = "other";

pub(crate) type RouteFn = dyn Fn(&Parts) -> Option<String> + Send + Sync;

/// Which labels the records of a layer get.
#[derive(Clone)]
pub(crate) struct Labels {
    template: Arc<RouteFn>,
    known: Arc<Mutex<HashMap<RecordLabel, Arc<RecordLabel>>>>,
}

impl Labels {
    /// The route is the method, and the path that axum has matched.
    pub(crate) fn of_routes() -> Self {
        Self::new(Arc::new(template))
    }

    pub(crate) fn new(template: Arc<RouteFn>) -> Self {
        Self { template, known: Arc::default() }
    }

    /// The label of a request: its method, and the template of its path if that is known.
    pub(crate) fn of_request(&self, namespace: &str, parts: &Parts) -> Arc<RecordLabel> {
        match (self.template)(parts) {
            Some(template) => self.named(namespace, &format!("{} {template}", parts.method)),
            None => self.named(namespace, parts.method.as_str()),
        }
    }

    /// The label of an operation that is not a request.
    pub(crate) fn of_operation(&self, namespace: &str) -> Arc<RecordLabel> {
        self.named(namespace, "execute")
    }

    fn named(&self, namespace: &str, route: &str) -> Arc<RecordLabel> {
        let label = RecordLabel::new(namespace, route);
        let mut known = lock(&self.known);
        if let Some(label) = known.get(&label) {
            return Arc::clone(label);
        }
        let label = if known.len() < ROUTES { label } else { RecordLabel::new(namespace, OTHER) };
        Arc::clone(known.entry(label.clone()).or_insert_with(|| label.into()))
    }
}

#[cfg(feature = "axum")]
fn template(parts: &Parts) -> Option<String> {
    let matched = parts.extensions.get::<axum::extract::MatchedPath>();
    matched.map(|path| path.as_str().to_owned())
}

#[cfg(not(feature = "axum"))]
fn template(_: &Parts) -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn routes_beyond_the_limit_share_one_label() {
        let labels = Labels::new(Arc::new(|parts: &Parts| Some(parts.uri.path().to_owned())));
        let label = |path: String| {
            let request = http::Request::post(path).body(()).unwrap();
            labels.of_request("payments", &request.into_parts().0)
        };
        let first = label("/0".to_owned());
        for number in 1..2 * ROUTES {
            label(format!("/{number}"));
        }
        assert_eq!(label("/5000".to_owned()).route, OTHER);
        assert!(Arc::ptr_eq(&label("/0".to_owned()), &first));
        assert!(lock(&labels.known).len() <= ROUTES + 1);
    }
}
