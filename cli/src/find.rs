//! Finds the record that a command line names.

use tower_idempotency::operate::{Operator, ShownRecord};
use tower_idempotency::store::operator::{ListFilter, ListRequest, RecordInfo};
use tower_idempotency::store::{DynStore, StorageKey};

use crate::args::Target;
use crate::failure::Failure;
use crate::progress::Reading;
use crate::session::Session;
use crate::terminal::Terminal;
use crate::view::record::table;

/// The most records that an error lists.
const MATCHES: usize = 10;

/// The record, and what operators did to it. It is an error if there is neither.
pub(crate) async fn find(
    session: &mut Session<'_>,
    target: &Target,
) -> Result<(StorageKey, ShownRecord), Failure> {
    let operator = session.reader()?;
    let key = match target {
        Target::Key(of) => operator.storage_key(&of.0, &of.1),
        Target::Digits(digits) => match StorageKey::from_hex(digits) {
            Some(key) => key,
            None => unique(&operator, digits, session.terminal).await?,
        },
    };
    let shown = operator.show(&key).await?;
    if shown.record.is_none() && shown.history.is_empty() {
        return Err(Failure::nothing(match target {
            Target::Digits(_) => format!("there is no record {key}, and no history of it"),
            Target::Key(_) => format!(
                "there is no record {key}, and no history of it: check the key, --scope, --host, \
                 --namespace and the secret, which must be those of the service"
            ),
        }));
    }
    Ok((key, shown))
}

/// Finds the record that a command changes.
pub(crate) async fn find_live(
    session: &mut Session<'_>,
    target: &Target,
) -> Result<(RecordInfo, ShownRecord), Failure> {
    let (key, shown) = find(session, target).await?;
    match shown.record.clone() {
        Some(record) => Ok((record, shown)),
        None => Err(Failure::nothing(format!(
            "there is no record {key}: the key is free; `idempotency show` has its history"
        ))),
    }
}

/// The only record that begins with these digits.
async fn unique(
    operator: &Operator<DynStore>,
    digits: &str,
    terminal: &mut Terminal,
) -> Result<StorageKey, Failure> {
    let mut reading = Reading::new(terminal);
    let filter = ListFilter::new().digits(digits.to_owned());
    let mut found: Vec<RecordInfo> = Vec::new();
    let mut after = None;
    loop {
        let page = operator.list(&ListRequest::new(filter.clone()).after(after)).await?;
        reading.page(page.progress, page.next.is_none());
        found.extend(page.records);
        // A store that reads its records while they change may return one twice.
        found.sort_by_key(|record| record.key);
        found.dedup_by_key(|record| record.key);
        after = page.next;
        if after.is_none() || found.len() > MATCHES {
            break;
        }
    }
    drop(reading);
    match found.as_slice() {
        [] => Err(Failure::nothing(format!(
            "no record begins with {digits}; to see the history of a record that is gone, give all \
             64 digits, or --key and --scope"
        ))),
        [one] => Ok(one.key),
        several => Err(Failure::usage(ambiguous(digits, several, terminal.width))),
    }
}

fn ambiguous(digits: &str, several: &[RecordInfo], width: usize) -> String {
    let more = if several.len() > MATCHES { "more than " } else { "" };
    let several = &several[..several.len().min(MATCHES)];
    format!(
        "{more}{} records begin with {digits}: give more digits\n{}",
        several.len(),
        table(several).lines(width, false).join("\n")
    )
}
