//! The cost of a request of 1 MiB by its form: milliseconds of one worker, and peak memory
//! including the body.
//!
//! ```sh
//! cargo bench --all-features --bench parsing [-- a part of a form's name]
//! ```
//!
//! Each request is new to its layer, and its handler does nothing. The time is the fastest of 15
//! runs, because other load disturbs the slower ones. The limits are 8 MiB and 10 ms. The test
//! target `cost` asserts the memory limit.
#![allow(missing_docs, clippy::unwrap_used)]

use std::convert::Infallible;
use std::time::{Duration, Instant};

use allocation_counter::measure;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::runtime::Builder;
use tower::{Layer, ServiceExt, service_fn};
use tower_idempotency::{IdempotencyLayer, MemoryStore};

#[path = "../tests/cost/forms.rs"]
mod forms;

use forms::{Form, forms, layers};

const RUNS: usize = 15;

fn main() {
    let wanted =
        std::env::args().skip(1).find(|argument| !argument.starts_with("--")).unwrap_or_default();
    let layers = layers();
    let names: Vec<_> = layers.iter().map(|(name, _)| *name).collect();
    println!("ms / MiB | {}", names.join(" | "));
    let mut worst = (Duration::ZERO, 0);
    for form in forms().iter().filter(|form| form.name.contains(&wanted)) {
        print!("{}", form.name);
        for (_, layer) in &layers {
            let (time, peak) = cost(layer, form);
            worst = (worst.0.max(time), worst.1.max(peak));
            print!(" | {}", shown(time, peak));
        }
        println!();
    }
    println!("at most: {}", shown(worst.0, worst.1));
}

fn shown(time: Duration, peak: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a figure to read")]
    let mebibytes = peak as f64 / f64::from(1 << 20);
    format!("{:.1} / {mebibytes:.1}", time.as_secs_f64() * 1e3)
}

/// The time of the fastest run, and the peak memory.
fn cost(layer: &impl Fn() -> IdempotencyLayer<MemoryStore>, form: &Form) -> (Duration, u64) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let handler = service_fn(|_: Request<_>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let mut peak = 0;
    let times = (0..RUNS).map(|_| {
        let service = layer().layer(handler);
        let mut time = Duration::ZERO;
        let cost = measure(|| {
            let request = form.request();
            let begun = Instant::now();
            let response = runtime.block_on(service.oneshot(request)).unwrap();
            time = begun.elapsed();
            drop(response);
        });
        peak = peak.max(cost.bytes_max);
        time
    });
    (times.min().unwrap_or_default(), peak)
}
