//! A screen of its own, which leaves the lines of the shell as they were.

use std::io::{self, Stdout, Write as _};

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::style::Print;
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, DisableLineWrap, EnableLineWrap,
    EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
    enable_raw_mode, size,
};
use crossterm::{execute, queue};

/// The screen. It is left when it is dropped.
pub(super) struct Screen {
    out: Stdout,
}

impl Screen {
    pub(super) fn enter() -> io::Result<Self> {
        enable_raw_mode()?;
        let mut screen = Self { out: io::stdout() };
        execute!(screen.out, EnterAlternateScreen, DisableLineWrap, Hide)?;
        Ok(screen)
    }

    /// Columns and lines.
    pub(super) fn size() -> io::Result<(usize, usize)> {
        size().map(|(columns, lines)| (columns.into(), lines.into()))
    }

    /// Replaces what is drawn. Lines that do not fit are left out.
    pub(super) fn draw(&mut self, lines: &[String], height: usize) -> io::Result<()> {
        queue!(self.out, BeginSynchronizedUpdate, MoveTo(0, 0))?;
        for (index, line) in lines.iter().take(height).enumerate() {
            let begin = if index == 0 { "" } else { "\r\n" };
            queue!(self.out, Print(begin), Print(line), Clear(ClearType::UntilNewLine))?;
        }
        queue!(self.out, Clear(ClearType::FromCursorDown), EndSynchronizedUpdate)?;
        self.out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // If the terminal is gone, there is nothing to restore.
        drop(execute!(self.out, Show, EnableLineWrap, LeaveAlternateScreen));
        drop(disable_raw_mode());
    }
}
