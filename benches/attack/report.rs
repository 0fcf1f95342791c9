//! Runs the honest tenant alone and under an attack, and prints both.

use std::time::Duration;

use crate::attacker::Attack;
use crate::client::order;
use crate::honest;
use crate::stage::Stage;
use crate::tally::Tally;

/// The most that the p99 may rise.
const ADDED: Duration = Duration::from_millis(50);

/// Measures one case on one stage. `attack` starts the attack, which lasts while the tenant pays.
pub(crate) async fn measure(
    title: &str,
    stage: &Stage,
    time: Duration,
    attack: impl FnOnce() -> Attack,
) {
    let small = order(0);
    let alone =
        honest::pay(stage.address(), "alone", &small, time.min(Duration::from_secs(10))).await;
    let before = stage.peak();
    let attack = attack();
    let attacked = honest::pay(stage.address(), "attacked", &small, time).await;
    let got = attack.end().await;

    println!("\n{title}\n\n{HEAD}");
    row("alone", &alone, before);
    row("attacked", &attacked, stage.peak());
    println!("\nthe attacker got {}", got.replies());
    let second = stage.second_effects();
    let added = attacked.within(99).saturating_sub(alone.within(99));
    let passes = attacked.rejected() == 0 && added <= ADDED && second == 0;
    println!(
        "{}: {} rejected, p99 {} ms later, {second} keys with a second effect",
        pass_or_fail(passes),
        attacked.rejected(),
        added.as_millis()
    );
}

pub(crate) const HEAD: &str = "\
| honest tenant | requests | p50 ms | p99 ms | max ms | peak of the server, MiB | replies |
|---|---|---|---|---|---|---|";

pub(crate) fn row(name: &str, tally: &Tally, peak: Option<u64>) {
    let [p50, p99, max] = [50, 99, 100].map(|percent| tally.within(percent).as_secs_f64() * 1000.0);
    let peak = peak.map_or("?".into(), |peak| peak.to_string());
    println!(
        "| {name} | {} | {p50:.1} | {p99:.1} | {max:.1} | {peak} | {} |",
        tally.requests(),
        tally.replies()
    );
}

pub(crate) fn pass_or_fail(passes: bool) -> &'static str {
    if passes { "passes" } else { "FAILS" }
}
