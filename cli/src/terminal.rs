//! What a command writes to and asks: the terminal, a pipe, or the buffers of a test.

use std::io::{self, BufRead, IsTerminal, Write};

use anstyle::{AnsiColor, Style};

use crate::view::clean::clean;

/// The width of lines without a terminal.
const WIDTH: usize = 120;

/// A narrower terminal wraps.
const NARROWEST: usize = 40;

/// Where a command writes, and whom it asks.
pub(crate) struct Terminal {
    out: Stream,
    errors: Stream,
    /// `None`: the user cannot be asked.
    answers: Option<Box<dyn BufRead>>,
    /// How wide a table may be.
    pub(crate) width: usize,
}

/// Standard output or standard error.
struct Stream {
    writer: Box<dyn Write>,
    is_terminal: bool,
    has_colours: bool,
}

impl Stream {
    fn of_process(stream: impl Write + IsTerminal + 'static) -> Self {
        let is_terminal = stream.is_terminal();
        Self { writer: Box::new(stream), is_terminal, has_colours: is_terminal && wants_colours() }
    }
}

impl Terminal {
    /// Standard input and output of this process.
    pub(crate) fn of_process() -> Self {
        let out = Stream::of_process(io::stdout());
        let errors = Stream::of_process(io::stderr());
        let asks = io::stdin().is_terminal() && errors.is_terminal;
        Self {
            answers: asks.then(|| Box::new(io::stdin().lock()) as _),
            width: if out.is_terminal { width() } else { WIDTH },
            out,
            errors,
        }
    }

    /// Whether the output is a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        self.out.is_terminal
    }

    /// Whether the output has colours.
    pub(crate) fn has_colours(&self) -> bool {
        self.out.has_colours
    }

    /// Whether a progress bar can be drawn.
    pub(crate) fn draws_progress(&self) -> bool {
        self.errors.is_terminal
    }

    /// Writes lines to the output.
    pub(crate) fn print(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out.writer, "{text}")?;
        self.out.writer.flush()
    }

    /// Writes the same bytes to the output.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.writer.write_all(bytes)?;
        self.out.writer.flush()
    }

    /// Writes to the standard error. If that fails, the command goes on.
    pub(crate) fn say(&mut self, text: &str) {
        drop(writeln!(self.errors.writer, "{text}"));
    }

    /// Whether the user can be asked.
    pub(crate) fn can_ask(&self) -> bool {
        self.answers.is_some()
    }

    /// Asks a question. Only `y` and `yes` mean yes.
    pub(crate) fn ask(&mut self, question: &str) -> io::Result<bool> {
        let Some(answers) = &mut self.answers else { return Ok(false) };
        write!(self.errors.writer, "{question} [y/N] ")?;
        self.errors.writer.flush()?;
        let mut answer = String::new();
        answers.read_line(&mut answer)?;
        Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }

    /// A text that must not be overlooked, for [`say`](Self::say).
    pub(crate) fn alarmed(&self, text: &str) -> String {
        painted(text, AnsiColor::Red.on_default().bold(), self.errors.has_colours)
    }
}

/// The text in a style, without control characters of its own.
pub(crate) fn painted(text: &str, style: Style, has_colours: bool) -> String {
    let text = clean(text);
    if has_colours { format!("{style}{text}{style:#}") } else { text.into_owned() }
}

/// As <https://no-color.org> says it.
fn wants_colours() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

fn width() -> usize {
    let width = crossterm::terminal::size().map_or(0, |(columns, _)| usize::from(columns));
    if width == 0 { WIDTH } else { width.max(NARROWEST) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// The bytes that a command has written.
    #[derive(Clone, Default)]
    pub(crate) struct Written(Arc<Mutex<Vec<u8>>>);

    impl Written {
        /// Takes the text since the last call.
        pub(crate) fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut self.0.lock().unwrap())).unwrap()
        }
    }

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A terminal of this width. The user types `answers`; `None`: the user cannot be asked.
    pub(crate) fn typed(width: usize, answers: Option<&str>) -> (Terminal, Written, Written) {
        let (out, errors) = (Written::default(), Written::default());
        let answers = answers.map(|answers| Box::new(io::Cursor::new(answers.to_owned())) as _);
        let stream = |written: &Written| Stream {
            writer: Box::new(written.clone()),
            is_terminal: false,
            has_colours: false,
        };
        let terminal = Terminal { out: stream(&out), errors: stream(&errors), answers, width };
        (terminal, out, errors)
    }

    #[test]
    fn everything_but_yes_is_no() {
        for (answer, is_yes) in [
            ("y\n", true),
            (" YES \n", true),
            ("n\n", false),
            ("\n", false),
            ("", false),
            ("ye", false),
        ] {
            let (mut terminal, _, errors) = typed(80, Some(answer));
            assert_eq!(terminal.ask("Release it?").unwrap(), is_yes, "{answer:?}");
            assert_eq!(errors.take(), "Release it? [y/N] ");
        }
    }
}
