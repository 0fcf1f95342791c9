//! `stats`: counts by state.

use tower_idempotency::operate::Operator;
use tower_idempotency::store::DynStore;
use tower_idempotency::store::operator::Stats;

use crate::failure::Failure;
use crate::progress::Reading;
use crate::session::Session;
use crate::view::json::{StatsJson, line};
use crate::view::stats::table;

pub(crate) async fn run(session: &mut Session<'_>) -> Result<(), Failure> {
    let operator = session.reader()?;
    let mut reading = Reading::new(session.terminal);
    let stats = count(&operator, &mut reading).await?;
    drop(reading);
    let terminal = &mut *session.terminal;
    let text = if session.json {
        line(&StatsJson::from(&stats))?
    } else {
        table(&stats).lines(terminal.width, terminal.has_colours()).join("\n")
    };
    Ok(terminal.print(&text)?)
}

/// Adds up all parts of the statistics.
pub(crate) async fn count(
    operator: &Operator<DynStore>,
    reading: &mut Reading,
) -> Result<Stats, Failure> {
    let mut stats = Stats::default();
    let mut after = None;
    loop {
        let page = operator.stats(after.as_ref()).await?;
        reading.page(page.progress, page.next.is_none());
        stats += page.stats;
        after = page.next;
        if after.is_none() {
            return Ok(stats);
        }
    }
}
