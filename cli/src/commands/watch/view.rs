//! Where the looks are shown: on a screen, or as lines.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use anstyle::AnsiColor;
use tokio::time::{Instant, sleep_until};

use super::Look;
use super::ends::{Ends, Happened};
use super::screen::Screen;
use crate::args::WatchArgs;
use crate::failure::Failure;
use crate::session::Session;
use crate::terminal::painted;
use crate::view::age::time;

/// Shows looks until the user has seen enough.
pub(super) struct View<'a, 'b> {
    args: &'a WatchArgs,
    session: &'a mut Session<'b>,
    screen: Option<Screen>,
    ends: Ends,
    look: Look,
    /// Why the latest look failed.
    trouble: Option<String>,
}

impl<'a, 'b> View<'a, 'b> {
    pub(super) fn open(
        args: &'a WatchArgs,
        session: &'a mut Session<'b>,
        look: Look,
    ) -> Result<Self, Failure> {
        let has_screen = session.terminal.is_terminal() && !session.json;
        let screen = has_screen.then(Screen::enter).transpose()?;
        let ends = Ends::listen(screen.is_some());
        Ok(Self { args, session, screen, ends, look, trouble: None })
    }

    /// Takes the next look. If it failed, the last one stays on the screen.
    pub(super) fn looked(&mut self, look: Result<Look, Failure>) {
        match look {
            Ok(look) => (self.look, self.trouble) = (look, None),
            Err(failure) => self.trouble = failure.message,
        }
    }

    /// Shows the latest look.
    pub(super) fn show(&mut self) -> Result<(), Failure> {
        if let Some(screen) = &mut self.screen {
            let (width, height) = Screen::size()?;
            let has_colours = self.session.terminal.has_colours();
            let mut lines = vec![head(&self.look, self.args)];
            lines.extend(
                self.trouble.as_deref().map(|trouble| {
                    painted(trouble, AnsiColor::Red.on_default().bold(), has_colours)
                }),
            );
            lines.push(String::new());
            lines.extend(self.look.lines(width, has_colours));
            return Ok(screen.draw(&lines, height)?);
        }
        let terminal = &mut *self.session.terminal;
        if let Some(trouble) = &self.trouble {
            terminal.say(&format!("{} {trouble}", terminal.alarmed("error:")));
            return Ok(());
        }
        let text = if self.session.json { self.look.json()? } else { self.look.line() };
        Ok(terminal.print(&text)?)
    }

    /// Waits for this long. Returns whether the user has seen enough.
    pub(super) async fn ends_within(&mut self, pause: Duration) -> Result<bool, Failure> {
        let until = Instant::now() + pause;
        loop {
            tokio::select! {
                () = sleep_until(until) => return Ok(false),
                happened = self.ends.next() => match happened {
                    Happened::End => return Ok(true),
                    Happened::Resized => self.show()?,
                },
            }
        }
    }

    /// The result, or `None` if the user has seen enough before.
    pub(super) async fn unless_it_ends<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                result = &mut work => return Some(result),
                happened = self.ends.next() => if happened == Happened::End {
                    return None;
                },
            }
        }
    }
}

fn head(look: &Look, args: &WatchArgs) -> String {
    let every = humantime::format_duration(args.every);
    format!("idempotency watch  {}  every {every}, q ends", time(look.at))
}
