//! `release`: nothing happened, and the key is free.

use crate::args::ReleaseArgs;
use crate::change::Plan;
use crate::failure::Failure;
use crate::find::find_live;
use crate::session::Session;

pub(crate) async fn run(args: &ReleaseArgs, session: &mut Session<'_>) -> Result<(), Failure> {
    let operator = session.writer(args.write.even_in_flight)?;
    let (record, shown) = find_live(session, &args.key.target()?).await?;
    let plan = Plan {
        action: "release",
        object: "it",
        becomes: "no record: the key is free".into(),
        consequences: vec![
            "The next retry runs the operation as its first attempt. If the operation did have an \
             effect, the retry has it a second time."
                .into(),
        ],
        is_deletion: true,
        write: &args.write,
    };
    if let Some(stopped) = plan.stops(&record) {
        return plan.report(session, &record, &stopped);
    }
    plan.confirm(session, &record, &shown)?;
    let settled = operator.release(&record, &args.write.reason).await?;
    plan.report(session, &record, &settled)
}
