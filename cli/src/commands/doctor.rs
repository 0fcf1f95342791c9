//! `doctor`: is the store reachable and set up, and what to do if it is not.

use tower_idempotency::operate::{CheckItem, CheckResult, Operator};
use tower_idempotency::store::operator::{ListFilter, ListRequest};
use tower_idempotency::store::{DynStore, StorageKey, Store as _, StoreError, StoreErrorKind};

use crate::failure::{Failure, chain};
use crate::session::Session;
use crate::view::checklist::lines;
use crate::view::json::{CheckupJson, line};

/// The items of the checklist about settings of the service, which this process does not know.
const OF_SERVICE: [&str; 15] = [
    "scope",
    "namespace",
    "require_key",
    "secret",
    "encryption",
    "on_outage",
    "store_timeout",
    "retention",
    "values",
    "max_in_flight",
    "quota",
    "new keys",
    "authentication",
    "host",
    "rate limit",
];

const WHY: &str = "each request with a key gets 503";

pub(crate) async fn run(session: &mut Session<'_>) -> Result<(), Failure> {
    let items = checkup(session).await?;
    let terminal = &mut *session.terminal;
    let text = if session.json {
        line(&CheckupJson::from(items.as_slice()))?
    } else {
        lines(&items, terminal.width, terminal.has_colours()).join("\n")
    };
    terminal.print(&text)?;
    match items.iter().filter(|item| item.result == CheckResult::Open).count() {
        0 => Ok(()),
        1 => Err(Failure::problems("the doctor found 1 problem")),
        several => Err(Failure::problems(format!("the doctor found {several} problems"))),
    }
}

async fn checkup(session: &Session<'_>) -> Result<Vec<CheckItem>, Failure> {
    if let Err(error) = session.layer.ping().await {
        // A pool of connections does not say why it has none.
        let error = session.layer.check().await.err().unwrap_or(error);
        return Ok(vec![reached(Err(error))]);
    }
    let mut items = vec![reached(Ok(()))];
    match session.layer.check().await {
        Ok(checklist) => {
            items.extend(checklist.into_iter().filter(|item| !OF_SERVICE.contains(&item.name)));
        }
        Err(error) => {
            // What the server is may say why.
            items.extend(session.store.check().await.unwrap_or_default());
            items.retain(|item| item.result != CheckResult::NotApplicable);
            items.push(failed("operations", WHY, &error));
        }
    }
    items.push(operators(session).await?);
    Ok(items)
}

fn reached(pinged: Result<(), StoreError>) -> CheckItem {
    match pinged {
        Ok(()) => CheckItem::new("reachable", true, "it replies", WHY, ""),
        Err(error) => match error.kind() {
            StoreErrorKind::Unavailable | StoreErrorKind::Timeout => {
                failed("reachable", WHY, &error)
            }
            _ => failed("set up", WHY, &error),
        },
    }
}

/// Whether this command can do its work.
async fn operators(session: &Session<'_>) -> Result<CheckItem, Failure> {
    let why = "operators cannot find and settle records";
    Ok(match look(&session.reader()?).await {
        Ok(()) => CheckItem::new("operators", true, "records and histories can be read", why, ""),
        Err(error) => failed("operators", why, &error),
    })
}

/// A history may be in a table of its own, which another role may read.
async fn look(operator: &Operator<DynStore>) -> Result<(), StoreError> {
    operator.list(&ListRequest::new(ListFilter::new()).limit(1)).await?;
    if let Some(key) = StorageKey::from_hex(&"0".repeat(64)) {
        operator.show(&key).await?;
    }
    Ok(())
}

fn failed(name: &'static str, why: &'static str, error: &StoreError) -> CheckItem {
    let remedy = match error.kind() {
        StoreErrorKind::Unavailable => {
            "start the server; check the host, the port, the password and the network"
        }
        StoreErrorKind::Timeout => "look at the load of the server and at the network",
        StoreErrorKind::Configuration => "do what the error says, as a role that may",
        StoreErrorKind::Full => "give the store more memory or disk, or delete what is not needed",
        StoreErrorKind::Unsupported => "use a store that lists and changes records",
        _ => "look at the log of the server",
    };
    CheckItem::new(name, false, chain(error), why, remedy)
}
