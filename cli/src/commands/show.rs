//! `show`: one record, and what operators did to it.

use crate::args::ShowArgs;
use crate::failure::Failure;
use crate::find::find;
use crate::session::Session;
use crate::view::json::{ShownJson, line};
use crate::view::record::{field, lines};

pub(crate) async fn run(args: &ShowArgs, session: &mut Session<'_>) -> Result<(), Failure> {
    let (key, shown) = find(session, &args.key.target()?).await?;
    let operator = session.reader()?;
    let downstream =
        args.downstream.as_deref().map(|purpose| operator.downstream_key(&key, purpose));
    let terminal = &mut *session.terminal;
    let text = if session.json {
        line(&ShownJson::new(key, &shown, downstream))?
    } else {
        let mut lines = lines(key, &shown, terminal.width, terminal.has_colours());
        if let Some(downstream) = downstream {
            // Below the name of the record.
            lines.insert(1, field("Called as", downstream));
        }
        lines.join("\n")
    };
    Ok(terminal.print(&text)?)
}
