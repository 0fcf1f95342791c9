//! `settle`: the operator knows the outcome.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tower_idempotency::operate::{Settle, ShownRecord};
use tower_idempotency::store::operator::{RecordInfo, RecordState};
use tower_idempotency::store::{Outcome, StoreErrorKind, StoredBody};

use crate::args::SettleArgs;
use crate::change::Plan;
use crate::failure::Failure;
use crate::find::find_live;
use crate::session::Session;
use crate::view::age::{age, size};

pub(crate) async fn run(args: &SettleArgs, session: &mut Session<'_>) -> Result<(), Failure> {
    session.layer = session.layer.clone().retention(args.retention);
    let operator = session.writer(args.write.even_in_flight)?;
    let operator = if args.response_is_lost { operator.even_unreadable() } else { operator };
    // Before the record, because a wrong file is found at once.
    let settle = settle(args)?;
    let (record, shown) = find_live(session, &args.key.target()?).await?;
    let plan = Plan {
        action: "settle",
        object: "it",
        becomes: becomes(args, &settle),
        consequences: consequences(args, &settle, session.has_encryption_key),
        is_deletion: false,
        write: &args.write,
    };
    if let Some(stopped) = plan.stops(&record) {
        return plan.report(session, &record, &stopped);
    }
    if !session.has_encryption_key && is_encrypted(&record, &shown) {
        may_replace(args, &settle, session.accepts_plain)?;
    }
    plan.confirm(session, &record, &shown)?;
    let settled = operator.settle(&record, settle, &args.write.reason).await?;
    plan.report(session, &record, &settled)
}

fn settle(args: &SettleArgs) -> Result<Settle, Failure> {
    match args.status {
        status if args.failed => Ok(Settle::Fail(status)),
        Some(status) if args.done => Ok(Settle::Conclude(status)),
        Some(status) => response(args, status).map(Settle::Respond),
        None => Err(Failure::usage("--done and a response need --status")),
    }
}

fn response(args: &SettleArgs, status: StatusCode) -> Result<Outcome, Failure> {
    let body = args.body_file.as_deref().map(read).transpose()?.unwrap_or_default();
    let has_none = [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT, StatusCode::NOT_MODIFIED];
    if has_none.contains(&status) && !body.is_empty() {
        return Err(Failure::usage(format!(
            "a response with the status {} has no body: leave out --body-file",
            status.as_u16()
        )));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in &args.headers {
        headers.append(name, value.clone());
    }
    Ok(Outcome::new(status, StoredBody::Whole { bytes: body, trailers: None }).headers(headers))
}

fn read(file: &Path) -> Result<Bytes, Failure> {
    let contents = if file == Path::new("-") {
        let mut contents = Vec::new();
        io::stdin().lock().read_to_end(&mut contents).map(|_| contents)
    } else {
        fs::read(file)
    };
    contents.map(Bytes::from).map_err(|error| Failure::file(file, &error))
}

fn is_encrypted(record: &RecordInfo, shown: &ShownRecord) -> bool {
    let is_response = matches!(record.state, RecordState::Success { not_retained: None, .. });
    is_response && shown.unreadable == Some(StoreErrorKind::Decrypt)
}

/// A response that only this command cannot read would be replaced, or the service would reject the
/// new one.
fn may_replace(args: &SettleArgs, settle: &Settle, accepts_plain: bool) -> Result<(), Failure> {
    if !args.response_is_lost {
        return Err(Failure::usage(
            "the record has an encrypted response, and this command has no key: give the service's \
             keys by --encryption-key-file; if they are lost, use --response-is-lost",
        ));
    }
    if matches!(settle, Settle::Respond(_)) && !accepts_plain {
        return Err(Failure::usage(
            "the service encrypts responses, and this command has no key, so clients would get 503: \
             give the key of the service by --encryption-key-file, or use --done; if the service \
             accepts responses that are not encrypted, use --accept-plain",
        ));
    }
    Ok(())
}

fn becomes(args: &SettleArgs, settle: &Settle) -> String {
    let status = |status: StatusCode| status.as_u16().to_string();
    let what = match settle {
        Settle::Respond(outcome) => {
            let length = match &outcome.body {
                StoredBody::Whole { bytes, .. } => bytes.len() as u64,
                _ => 0,
            };
            let headers = outcome.headers.len();
            let headers = match headers {
                1 => "1 header".to_owned(),
                many => format!("{many} headers"),
            };
            format!("success {}, {headers}, a body of {}", status(outcome.status), size(length))
        }
        Settle::Fail(known) => {
            known.map_or_else(|| "failed".to_owned(), |known| format!("failed {}", status(known)))
        }
        Settle::Conclude(known) => format!("success {}, not retained", status(*known)),
        _ => String::new(),
    };
    format!("{what}, for {}", age(args.retention))
}

fn consequences(args: &SettleArgs, settle: &Settle, has_encryption_key: bool) -> Vec<String> {
    let first = match settle {
        Settle::Respond(_) => "Clients that retry get this response from now on.",
        Settle::Fail(_) => {
            "The next retry runs the operation again, in doubt, unless the service rejects failed \
             operations."
        }
        _ => {
            "The operation does not run again. Clients that retry get 409 \
             `idempotency_result_not_retained`."
        }
    };
    let mut consequences = vec![first.to_owned()];
    if matches!(settle, Settle::Respond(_)) && !has_encryption_key {
        consequences.push(
            "The response is stored as it is. A service that encrypts responses rejects it with \
             503: give its key by --encryption-key-file."
                .to_owned(),
        );
    }
    if args.response_is_lost {
        consequences.push("A response that the service can still read is lost.".to_owned());
    }
    consequences
}
