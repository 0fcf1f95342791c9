//! `doctor`: is the store reachable and set up, and what to do if it is not.

use std::time::Duration;

use tower_idempotency::Fingerprint;
use tower_idempotency::operate::{CheckItem, CheckResult, Operator, OperatorError};
use tower_idempotency::store::operator::{ListFilter, ListRequest, RecordInfo};
use tower_idempotency::store::{
    DynStore, Record, ReserveRequest, State, StorageKey, Store as _, StoreError, StoreErrorKind,
    Token,
};

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

/// How long the doctor's record and its audit entry stay.
const STAYS: Duration = Duration::from_secs(5);

const WHY: &str = "each request with a key gets 503";

pub(crate) async fn run(session: &mut Session<'_>) -> Result<(), Failure> {
    let items = checkup(session).await?;
    let terminal = &mut *session.terminal;
    let text = if session.json {
        line(&CheckupJson::from(items.as_slice()))?
    } else {
        lines(&items, terminal.width, terminal.has_colours()).join("\n")
    };
    let printed = terminal.print(&text);
    match items.iter().filter(|item| item.result == CheckResult::Open).count() {
        0 => Ok(printed?),
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

/// Whether operators can do their work.
async fn operators(session: &Session<'_>) -> Result<CheckItem, Failure> {
    let operator = session.reader()?.even_in_flight().audit_retention(STAYS);
    let why = "operators cannot find and settle records";
    Ok(match work(&operator, &session.store).await {
        Ok(()) => CheckItem::new("operators", true, "records can be listed and changed", why, ""),
        Err(OperatorError::Store(error)) => failed("operators", why, &error),
        Err(error) => return Err(error.into()),
    })
}

/// Lists records, and erases one that it has made.
async fn work(operator: &Operator<DynStore>, store: &DynStore) -> Result<(), OperatorError> {
    operator.list(&ListRequest::new(ListFilter::new()).limit(1)).await?;
    let (token, other) = (Token::random()?, Token::random()?);
    let mut key = [0; 32];
    key[..16].copy_from_slice(token.as_bytes());
    key[16..].copy_from_slice(other.as_bytes());
    let key = StorageKey::from_bytes(key);
    let fingerprint = Fingerprint::of_fields(["doctor"]);
    let request = ReserveRequest::new(key, fingerprint).lease(STAYS).retention(STAYS);
    // A role of operators may have no right to make records. The item `operations` says so.
    let made = store.reserve(&request).await.is_ok();
    let record = operator.show(&key).await?.record.filter(|_| made).unwrap_or_else(|| {
        // The store still needs its rights to find out that there is no such record.
        let pending = State::Pending { abandoned: false };
        RecordInfo::new(key, &Record::new(fingerprint, 1, token, pending))
    });
    let _ = operator.erase(&record, "to see whether records can be changed").await?;
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
