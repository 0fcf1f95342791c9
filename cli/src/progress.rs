//! A progress bar for stores that read all of their records.

use indicatif::{ProgressBar, ProgressStyle};
use tower_idempotency::store::operator::Progress;

use crate::terminal::Terminal;

/// How far the store has come over all pages.
pub(crate) struct Reading {
    bar: Option<ProgressBar>,
    draws: bool,
}

impl Reading {
    pub(crate) fn new(terminal: &Terminal) -> Self {
        Self { bar: None, draws: terminal.draws_progress() }
    }

    /// Draws nothing.
    pub(crate) fn hidden() -> Self {
        Self { bar: None, draws: false }
    }

    /// A page was read. The first one that is also the last one draws nothing.
    pub(crate) fn page(&mut self, progress: Option<Progress>, is_last: bool) {
        let Some(Progress { read, of }) = progress else { return };
        if self.bar.is_none() && self.draws && !is_last {
            let style = ProgressStyle::with_template(
                "{bar:40} {human_pos} of {human_len} records, {eta} left",
            );
            self.bar = style.ok().map(|style| ProgressBar::new(of).with_style(style));
        }
        if let Some(bar) = &self.bar {
            bar.inc(read);
            // The number is an estimate, and records come while they are read.
            bar.set_length(of.max(bar.position()));
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
