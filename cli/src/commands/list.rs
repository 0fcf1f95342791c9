//! `list`: the records that a condition finds.

use std::cmp::Reverse;

use tower_idempotency::operate::Operator;
use tower_idempotency::store::DynStore;
use tower_idempotency::store::operator::{
    ListFilter, ListOrder, ListRequest, RecordInfo, StateFilter,
};

use crate::args::ListArgs;
use crate::failure::Failure;
use crate::progress::Reading;
use crate::session::Session;
use crate::view::json::{RecordJson, line};
use crate::view::record::table;

/// A store with damaged records returns pages without them. Shorter pages would take longer.
const SHORTEST_PAGE: u32 = 100;

pub(crate) async fn run(args: &ListArgs, session: &mut Session<'_>) -> Result<(), Failure> {
    let operator = session.reader()?;
    let mut reading = Reading::new(session.terminal);
    let mut list = List::new(args, &operator);
    let mut records = Vec::new();
    let mut found = 0;
    while let Some(page) = list.page(&operator, &mut reading).await? {
        found += page.len();
        if session.json {
            for record in &page {
                session.terminal.print(&line(&RecordJson::from(record))?)?;
            }
        } else {
            records.extend(page);
        }
    }
    drop(reading);
    if found == 0 {
        return Err(Failure::nothing(nothing(args)));
    }
    if !session.json {
        sort(&mut records, args.order());
        let lines = table(&records).lines(session.terminal.width, session.terminal.has_colours());
        session.terminal.print(&lines.join("\n"))?;
    }
    if list.has_more() {
        session.terminal.say(&format!("there may be more: these are {found}, see --limit"));
    }
    Ok(())
}

/// A wrong secret also finds nothing, and must not pass for an erasure.
fn nothing(args: &ListArgs) -> &'static str {
    if args.has_scope() {
        "no record was found; only records of a service that labels its records have \
         a scope, and --scope needs its secret"
    } else {
        "no record was found"
    }
}

/// The pages of a list, up to its limit.
pub(crate) struct List {
    request: ListRequest,
    left: usize,
    is_over: bool,
}

impl List {
    pub(crate) fn new(args: &ListArgs, operator: &Operator<DynStore>) -> Self {
        Self::of(args, args.filter(|scope| operator.scope_digest(scope)))
    }

    /// With this state, if the arguments name none.
    pub(crate) fn with_state(
        args: &ListArgs,
        operator: &Operator<DynStore>,
        state: StateFilter,
    ) -> Self {
        let filter = args.filter(|scope| operator.scope_digest(scope));
        let state = filter.state.unwrap_or(state);
        Self::of(args, filter.state(state))
    }

    fn of(args: &ListArgs, filter: ListFilter) -> Self {
        let page = args.limit.max(SHORTEST_PAGE);
        let request = ListRequest::new(filter).order(args.order()).limit(page);
        Self { request, left: args.limit as usize, is_over: false }
    }

    /// The next page. `None`: that was all, or the limit is reached.
    pub(crate) async fn page(
        &mut self,
        operator: &Operator<DynStore>,
        reading: &mut Reading,
    ) -> Result<Option<Vec<RecordInfo>>, Failure> {
        if self.is_over || self.left == 0 {
            return Ok(None);
        }
        let mut page = operator.list(&self.request).await?;
        reading.page(page.progress, page.next.is_none());
        // A page may be larger than what is left.
        let is_cut = page.records.len() > self.left;
        page.records.truncate(self.left);
        self.left -= page.records.len();
        self.is_over = page.next.is_none() && !is_cut;
        self.request = self.request.clone().after(page.next);
        Ok(Some(page.records))
    }

    /// Whether the limit has ended the list.
    pub(crate) fn has_more(&self) -> bool {
        !self.is_over
    }
}

/// A store without an order returns records in any.
pub(crate) fn sort(records: &mut [RecordInfo], order: ListOrder) {
    if order == ListOrder::NewestFirst {
        records.sort_by_key(|record| record.changed_ago);
    } else {
        records.sort_by_key(|record| Reverse(record.changed_ago));
    }
}
