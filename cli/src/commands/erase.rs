//! `erase`: one record, or all records of a scope.

use tower_idempotency::operate::Operator;
use tower_idempotency::store::operator::{ListFilter, ListRequest, Stats};
use tower_idempotency::store::{DynStore, ScopeDigest};

use crate::args::EraseArgs;
use crate::change::{Plan, must_be_able_to_ask};
use crate::failure::Failure;
use crate::find::find_live;
use crate::progress::Reading;
use crate::session::Session;
use crate::view::json::{ErasedJson, line};
use crate::view::stats;

pub(crate) async fn run(args: &EraseArgs, session: &mut Session<'_>) -> Result<(), Failure> {
    let operator = session.writer(args.write.even_in_flight)?;
    let of_scope = args.key.whole_scope();
    let scope =
        args.scope_digest.or_else(|| of_scope.as_ref().map(|scope| operator.scope_digest(scope)));
    match scope {
        Some(scope) => erase_scope(args, session, &operator, scope).await,
        None => erase_one(args, session, &operator).await,
    }
}

async fn erase_one(
    args: &EraseArgs,
    session: &mut Session<'_>,
    operator: &Operator<DynStore>,
) -> Result<(), Failure> {
    let (record, shown) = find_live(session, &args.key.target()?).await?;
    let plan = plan(args, "it", "The next retry runs it again, and has its effect again.");
    if let Some(stopped) = plan.stops(&record) {
        return plan.report(session, &record, &stopped);
    }
    plan.confirm(session, &record, &shown)?;
    let settled = operator.erase(&record, &args.write.reason).await?;
    plan.report(session, &record, &settled)
}

async fn erase_scope(
    args: &EraseArgs,
    session: &mut Session<'_>,
    operator: &Operator<DynStore>,
    scope: ScopeDigest,
) -> Result<(), Failure> {
    if !args.write.yes {
        must_be_able_to_ask(session)?;
        let found = count(session, operator, scope).await?;
        let table = stats::table(&found).lines(session.terminal.width, false).join("\n");
        plan(args, "them", "A retry of one of them runs it again, and has its effect again.")
            .ask(session, &format!("Scope      {}\n{table}\n\n", scope.to_hex()))?;
    }
    let mut done = ErasedJson { scope: scope.to_hex(), action: "erase", erased: 0, left: 0 };
    let mut reading = Reading::new(session.terminal);
    let mut after = None;
    loop {
        let erased = operator.erase_scope(scope, &args.write.reason, after).await?;
        done.erased += erased.records;
        done.left += erased.left;
        after = erased.next;
        reading.page(erased.progress, after.is_none());
        if after.is_none() {
            break;
        }
    }
    drop(reading);
    report(session, &done)
}

fn plan<'a>(args: &'a EraseArgs, object: &'static str, then: &str) -> Plan<'a> {
    Plan {
        action: "erase",
        object,
        becomes: "no record: the store forgets the operation".into(),
        consequences: vec![then.into()],
        is_deletion: true,
        write: &args.write,
    }
}

/// Counts the records of the scope, to show them before they go.
async fn count(
    session: &Session<'_>,
    operator: &Operator<DynStore>,
    scope: ScopeDigest,
) -> Result<Stats, Failure> {
    let mut reading = Reading::new(session.terminal);
    let mut found = Stats::default();
    let mut request =
        ListRequest::new(ListFilter::new().scope(scope)).limit(ListRequest::MAX_LIMIT);
    loop {
        let page = operator.list(&request).await?;
        reading.page(page.progress, page.next.is_none());
        page.records.iter().for_each(|record| found.add(record));
        let Some(next) = page.next else { break };
        request = request.after(next);
    }
    drop(reading);
    if stats::states(&found).iter().all(|(_, state)| state.count == 0) {
        return Err(nothing(&scope.to_hex()));
    }
    Ok(found)
}

fn nothing(scope: &str) -> Failure {
    Failure::nothing(format!(
        "there is no record of the scope {scope}; only records of a service that labels its \
         records have a scope, and --scope needs its secret"
    ))
}

fn report(session: &mut Session<'_>, done: &ErasedJson) -> Result<(), Failure> {
    let ErasedJson { erased, left, scope, .. } = done;
    let text =
        if session.json { line(done)? } else { format!("erase scope {scope}: deleted {erased}") };
    let printed = session.terminal.print(&text);
    match (*erased, *left) {
        (_, 1..) => Err(Failure::unchanged(format!(
            "not deleted: {left}, because attempts run or the records changed meanwhile: run it \
             again; --even-in-flight deletes them now"
        ))),
        (0, 0) => Err(nothing(scope)),
        _ => Ok(printed?),
    }
}
