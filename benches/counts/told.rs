//! Everything that can be told is told: spans, metrics and events.

use metrics_exporter_prometheus::PrometheusBuilder;
use tower_idempotency::{IdempotencyLayer, MemoryStore};
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Installs what `told` names, for the whole process.
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
        PrometheusBuilder::new().install_recorder().unwrap();
    }
    let layer = if told.contains("labels") { layer.label_records() } else { layer };
    if told.contains("events") { layer.on_event(|_| std::future::ready(())) } else { layer }
}
