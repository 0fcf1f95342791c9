//! Everything that can be told is told: spans, metrics and events.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, SharedString, Unit};

use metrics_exporter_prometheus::PrometheusBuilder;
use tower_idempotency::{IdempotencyLayer, MemoryStore};
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Installs the receivers that `told` names. They serve the whole process.
pub(crate) fn install(
    told: &str,
    layer: IdempotencyLayer<MemoryStore>,
) -> IdempotencyLayer<MemoryStore> {
    if told.contains("spans") {
        // Not the lines of other crates, which a server writes without the layer too.
        let own = Targets::new().with_target("tower_idempotency", Level::DEBUG);
        tracing_subscriber::registry().with(own).init();
    }
    if told.contains("metrics") {
        metrics::set_global_recorder(Least::default()).unwrap();
    }
    if told.contains("Prometheus") {
        PrometheusBuilder::new().install_recorder().unwrap();
    }
    let layer = if told.contains("labels") { layer.label_records() } else { layer };
    if told.contains("events") { layer.on_event(|_| std::future::ready(())) } else { layer }
}

/// A recorder that does the least: it adds up what it gets. It shows what the layer itself costs.
#[derive(Clone, Default)]
struct Least {
    counted: Arc<AtomicU64>,
    measured: Arc<Measured>,
}

#[derive(Default)]
struct Measured(AtomicU64);

impl HistogramFn for Measured {
    fn record(&self, value: f64) {
        self.0.fetch_add(value.to_bits(), Ordering::Relaxed);
    }
}

impl metrics::Recorder for Least {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Arc::clone(&self.counted))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::clone(&self.measured))
    }
}
