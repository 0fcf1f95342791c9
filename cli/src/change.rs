//! The steps that all changes of a record have in common: show, ask, change, report.

use tower_idempotency::operate::{Settled, ShownRecord};
use tower_idempotency::store::operator::{RecordInfo, RecordState};

use crate::args::WriteArgs;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::clean::clean;
use crate::view::json::{ChangedJson, line};
use crate::view::record::lines;
use crate::view::table::wrapped;

/// What a command is about to do to a record.
pub(crate) struct Plan<'a> {
    /// The word of the command: `release`.
    pub(crate) action: &'static str,
    /// The object of the question: `it`.
    pub(crate) object: &'static str,
    /// What the record becomes.
    pub(crate) becomes: String,
    /// What clients and the operation get from it.
    pub(crate) consequences: Vec<String>,
    /// Whether the record is gone then.
    pub(crate) is_deletion: bool,
    pub(crate) write: &'a WriteArgs,
}

const GOES_ON: &str = "An attempt runs. It goes on, and its response is not stored.";

impl Plan<'_> {
    /// Tells an operator who cannot change the record so, before asking. `None`: it may go on.
    pub(crate) fn stops(&self, record: &RecordInfo) -> Option<Settled> {
        let runs = record.state == RecordState::InFlight;
        (runs && !self.write.even_in_flight).then_some(Settled::InFlight)
    }

    /// Shows the record and what it becomes, and asks.
    pub(crate) fn confirm(
        &self,
        session: &mut Session<'_>,
        record: &RecordInfo,
        shown: &ShownRecord,
    ) -> Result<(), Failure> {
        if self.write.yes {
            return Ok(());
        }
        must_be_able_to_ask(session)?;
        let mut text = lines(record.key, shown, session.terminal.width, false).join("\n");
        text.push_str("\n\n");
        if record.state == RecordState::InFlight {
            text.push_str(GOES_ON);
            text.push('\n');
        }
        self.ask(session, &text)
    }

    /// Says what happens then, and asks.
    pub(crate) fn ask(&self, session: &mut Session<'_>, about: &str) -> Result<(), Failure> {
        let by = clean(session.by()).into_owned();
        let mut text = format!(
            "{about}Becomes    {}\nReason     {} (by {by})\n\n",
            self.becomes,
            clean(&self.write.reason),
        );
        for consequence in &self.consequences {
            text.push_str(&wrapped(consequence, session.terminal.width).join("\n"));
            text.push('\n');
        }
        session.terminal.say(&text);
        let mut question = format!("{} {}?", self.action, self.object);
        question[..1].make_ascii_uppercase();
        if session.terminal.ask(&question)? {
            Ok(())
        } else {
            Err(Failure::error("you did not confirm: nothing was changed"))
        }
    }

    /// Says what came of it.
    pub(crate) fn report(
        &self,
        session: &mut Session<'_>,
        record: &RecordInfo,
        settled: &Settled,
    ) -> Result<(), Failure> {
        let printed = if session.json {
            let changed = ChangedJson::new(record.key, self.action, settled);
            session.terminal.print(&line(&changed)?)
        } else if settled.is_applied() {
            let done = format!("{} {}: {settled}", self.action, record.key);
            session.terminal.print(&done).inspect(|()| {
                if self.is_deletion {
                    // Without a record, its first digits find nothing.
                    let key = record.key.to_hex();
                    session.terminal.say(&format!("its history: idempotency show {key}"));
                }
            })
        } else {
            Ok(())
        };
        if settled.is_applied() {
            return Ok(printed?);
        }
        let hint = match settled {
            Settled::InFlight => "; --even-in-flight changes it now",
            Settled::Unreadable(_) => "; --response-is-lost changes it",
            _ => "",
        };
        Err(Failure::unchanged(format!("{}: {settled}{hint}", record.key)))
    }
}

/// Without a terminal, no change is made without `--yes`.
pub(crate) fn must_be_able_to_ask(session: &Session<'_>) -> Result<(), Failure> {
    if session.terminal.can_ask() {
        return Ok(());
    }
    Err(Failure::usage(
        "a change asks before it is made, and there is no terminal to ask on: use --yes",
    ))
}
