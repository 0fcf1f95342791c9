//! `show`: one record, and what operators did to it.

use crate::args::KeyArgs;
use crate::failure::Failure;
use crate::find::find;
use crate::session::Session;
use crate::view::json::{ShownJson, line};
use crate::view::record::lines;

pub(crate) async fn run(args: &KeyArgs, session: &mut Session<'_>) -> Result<(), Failure> {
    let (key, shown) = find(session, &args.target()?).await?;
    let terminal = &mut *session.terminal;
    let text = if session.json {
        line(&ShownJson::new(key, &shown))?
    } else {
        lines(key, &shown, terminal.width, terminal.has_colours()).join("\n")
    };
    Ok(terminal.print(&text)?)
}
