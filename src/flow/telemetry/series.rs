//! The keys of the metrics. Each is made once, so that a request allocates none.

use std::cell::Cell;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use metrics::{IntoF64, Key, Label as OneLabel, Level, Metadata, Recorder, with_recorder};

use super::Label;

/// A name, and up to two labels. Labels without a name do not count.
#[derive(Clone, Copy)]
pub(super) struct Series(pub(super) &'static str, pub(super) [(&'static str, &'static str); 2]);

static METADATA: Metadata<'static> =
    Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

/// Whether a recorder is there.
pub(super) fn is_heard() -> bool {
    with_recorder(is_live)
}

pub(super) fn count(label: Label<'_>, series: Series) {
    with_recorder(|recorder| {
        if is_live(recorder) {
            keys(label, |keys| {
                keys.with(label, series, |key| {
                    recorder.register_counter(key, &METADATA).increment(1);
                });
            });
        }
    });
}

pub(super) fn record(label: Label<'_>, series: Series, value: impl Fn() -> Duration) {
    with_recorder(|recorder| {
        if is_live(recorder) {
            keys(label, |keys| {
                keys.with(label, series, |key| {
                    recorder.register_histogram(key, &METADATA).record(value());
                });
            });
        }
    });
}

/// Whether the recorder records. The default recorder, which records nothing, has no size. A recorder
/// of the application can have no size too, and then a histogram tells whether it reads values.
fn is_live(recorder: &dyn Recorder) -> bool {
    static PROBE: Key = Key::from_static_name("idempotency_store_seconds");
    size_of_val(recorder) > 0 || {
        let is_read = Cell::new(false);
        recorder.register_histogram(&PROBE, &METADATA).record_many(Probe(&is_read), 0);
        is_read.get()
    }
}

struct Probe<'a>(&'a Cell<bool>);

impl IntoF64 for Probe<'_> {
    fn into_f64(self) -> f64 {
        self.0.set(true);
        0.0
    }
}

/// The keys of one namespace and route, or those without.
#[derive(Default)]
struct Keys(RwLock<Vec<(Series, Key)>>);

static UNLABELLED: Keys = Keys(RwLock::new(Vec::new()));

fn keys(label: Label<'_>, read: impl FnOnce(&Keys)) {
    match label {
        None => read(&UNLABELLED),
        // The memo of a label is used only here.
        Some(label) => label.remember(Keys::default).map_or((), read),
    }
}

impl Keys {
    fn with(&self, label: Label<'_>, series: Series, read: impl Fn(&Key)) {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, key)) = keys.iter().find(|(known, _)| known.is(&series)) {
            return read(key);
        }
        drop(keys);
        let key = series.key(label);
        read(&key);
        self.0.write().unwrap_or_else(PoisonError::into_inner).push((series, key));
    }
}

impl Series {
    /// Compares addresses. Equal texts at other addresses are another series with an equal key.
    fn is(&self, other: &Self) -> bool {
        let is = |one: &'static str, other: &'static str| std::ptr::eq(one, other);
        let ([(_, a), (_, b)], [(_, c), (_, d)]) = (self.1, other.1);
        is(self.0, other.0) && is(a, c) && is(b, d)
    }

    fn key(self, label: Label<'_>) -> Key {
        let of_label = label.into_iter().flat_map(|label| {
            [("namespace", label.namespace.clone()), ("route", label.route.clone())]
        });
        let own = self.1.into_iter().filter(|(name, _)| !name.is_empty());
        let labels = own.map(|(name, value)| OneLabel::from_static_parts(name, value));
        let labels = labels.chain(of_label.map(|(name, value)| OneLabel::new(name, value)));
        Key::from_parts(self.0, labels.collect::<Vec<_>>())
    }
}
