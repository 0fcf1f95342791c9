//! `watch`: counts and records, again and again.

use std::time::{Instant, SystemTime};

use tower_idempotency::operate::Operator;
use tower_idempotency::store::DynStore;
use tower_idempotency::store::operator::{RecordInfo, StateFilter, Stats};

use super::list::{List, sort};
use crate::args::{ListArgs, WatchArgs};
use crate::failure::Failure;
use crate::progress::Reading;
use crate::session::Session;
use crate::view::age::{known_age, time};
use crate::view::clean::clean;
use crate::view::json::{LookJson, RecordJson, StatsJson, line};
use crate::view::{record, stats};

mod ends;
mod screen;
mod view;

use view::View;

/// A look may take a tenth of the time, so that a large store has the rest for requests.
const PAUSES: u32 = 9;

pub(crate) async fn run(args: &WatchArgs, session: &mut Session<'_>) -> Result<(), Failure> {
    let operator = session.reader()?;
    let take = || Look::take(&args.list, &operator);
    // A store that is wrong from the start ends the command.
    let mut began = Instant::now();
    let first = take().await?;
    let mut view = View::open(args, session, first)?;
    for looks in 1.. {
        view.show()?;
        let pause = args.every.max(began.elapsed() * PAUSES);
        if args.times == Some(looks) || view.ends_within(pause).await? {
            break;
        }
        began = Instant::now();
        match view.unless_it_ends(take()).await {
            Some(look) => view.looked(look),
            None => break,
        }
    }
    Ok(())
}

/// What the store has at one time.
struct Look {
    at: SystemTime,
    stats: Stats,
    records: Vec<RecordInfo>,
}

impl Look {
    async fn take(args: &ListArgs, operator: &Operator<DynStore>) -> Result<Self, Failure> {
        // No bar, because the looks are drawn.
        let mut reading = Reading::hidden();
        let stats = super::stats::count(operator, &mut reading).await?;
        let mut list = List::with_state(args, operator, StateFilter::Stuck);
        let mut records = Vec::new();
        while let Some(page) = list.page(operator, &mut reading).await? {
            records.extend(page);
        }
        sort(&mut records, args.order());
        Ok(Self { at: SystemTime::now(), stats, records })
    }

    /// Writes one line, as a log has it.
    fn line(&self) -> String {
        let counts = format!("{}  {}", time(self.at), stats::line(&self.stats));
        match self.records.first() {
            None => counts,
            Some(first) => {
                let route = first.label.as_ref().map_or("-", |label| label.route.as_str());
                let state = record::state(first.state);
                let age = known_age(first.changed_ago);
                format!("{counts}; {} {state} {age} {}", first.key, clean(route))
            }
        }
    }

    fn json(&self) -> Result<String, Failure> {
        line(&LookJson {
            at: time(self.at),
            stats: StatsJson::from(&self.stats),
            records: self.records.iter().map(RecordJson::from).collect(),
        })
    }

    /// For a screen.
    fn lines(&self, width: usize, has_colours: bool) -> Vec<String> {
        let mut lines = stats::table(&self.stats).lines(width, has_colours);
        lines.push(String::new());
        if self.records.is_empty() {
            lines.push("no record was found".into());
        } else {
            lines.extend(record::table(&self.records).lines(width, has_colours));
        }
        lines
    }
}
