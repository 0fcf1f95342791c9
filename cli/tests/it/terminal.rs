//! The program on a terminal: it asks, draws and has colours.

use std::io::{Read as _, Write};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use vt100::Parser;

use crate::planted::response;
use crate::program::{PROGRAM, words};
use crate::stores::Shared;

/// Longer than anything takes on a busy machine.
const LONG: Duration = Duration::from_mins(1);

/// A program on a terminal.
struct Terminal {
    program: Box<dyn Child + Send + Sync>,
    keys: Box<dyn Write + Send>,
    output: Receiver<Vec<u8>>,
    screen: Parser,
    raw: Vec<u8>,
    master: Box<dyn MasterPty + Send>,
}

impl Terminal {
    /// Runs a command on a terminal of 100 columns.
    fn run(shared: &Shared, line: &str, variables: &[(&str, &str)]) -> Self {
        let size = PtySize { rows: 30, cols: 100, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(PROGRAM);
        command.args(words(line));
        command.env("IDEMPOTENCY_STORE", &shared.url);
        command.env("IDEMPOTENCY_OPERATOR", "alice");
        command.env("TERM", "xterm-256color");
        command.env_remove("NO_COLOR");
        for (name, value) in variables {
            command.env(name, value);
        }
        let program = pair.slave.spawn_command(command).unwrap();
        let mut reader = pair.master.try_clone_reader().unwrap();
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut bytes) {
                if sender.send(bytes[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        let keys = pair.master.take_writer().unwrap();
        let screen = Parser::new(size.rows, size.cols, 0);
        Self { program, keys, output, screen, raw: Vec::new(), master: pair.master }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.screen.process(bytes);
        self.raw.extend_from_slice(bytes);
    }

    /// Waits until the screen shows this.
    fn shows(&mut self, text: &str) {
        while !self.screen.screen().contents().contains(text) {
            match self.output.recv_timeout(LONG) {
                Ok(bytes) => self.take(&bytes),
                Err(error) => {
                    panic!("{error}: no {text:?} on\n{}", self.screen.screen().contents())
                }
            }
        }
    }

    fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits for the end, and returns the exit code.
    fn ends(&mut self) -> u32 {
        let code = self.program.wait().unwrap().exit_code();
        // The output ends when the program has closed its side.
        while let Ok(bytes) = self.output.recv_timeout(LONG) {
            self.take(&bytes);
        }
        code
    }

    fn lines(&self) -> String {
        self.screen.screen().contents()
    }

    fn has_colours(&self) -> bool {
        String::from_utf8_lossy(&self.raw).contains("\u{1b}[31m")
    }
}

#[tokio::test]
async fn watch_redraws_and_ends_on_q() {
    let shared = Shared::sqlite().await;
    shared.site.abandoned("cut-off").await;
    let mut terminal = Terminal::run(&shared, "watch --every 100ms", &[]);
    terminal.shows("every 100ms, q ends");
    terminal.shows(&format!("{}  abandoned", shared.site.digits("cut-off")));
    assert!(terminal.screen.screen().alternate_screen());
    assert!(terminal.screen.screen().hide_cursor());
    assert!(terminal.has_colours());

    shared.site.failed("failed").await;
    terminal.shows(&format!("{}  failed 502", shared.site.digits("failed")));
    // It is drawn in place.
    let lines = terminal.lines();
    assert!(lines.starts_with("idempotency watch  2"), "{lines}");
    assert_eq!(lines.matches("in-doubt").count(), 1, "{lines}");

    terminal.types("q");
    assert_eq!(terminal.ends(), 0);
    // The terminal is as it was.
    assert!(!terminal.screen.screen().alternate_screen());
    assert!(!terminal.screen.screen().hide_cursor());
    assert_eq!(terminal.lines().trim(), "");
}

#[tokio::test]
async fn watch_ends_on_control_c_and_fits_a_smaller_terminal() {
    let shared = Shared::sqlite().await;
    shared.site.abandoned("cut-off").await;
    let mut terminal = Terminal::run(&shared, "watch --every 1h", &[("NO_COLOR", "1")]);
    terminal.shows("POST /payments/{id}/refunds");
    terminal.shows("NAMESPACE");
    assert!(!terminal.has_colours());
    let size = PtySize { rows: 20, cols: 70, pixel_width: 0, pixel_height: 0 };
    terminal.screen = Parser::new(size.rows, size.cols, 0);
    terminal.master.resize(size).unwrap();
    terminal.shows("POST /payments/{id}/refunds");
    assert!(!terminal.lines().contains("NAMESPACE"), "{}", terminal.lines());
    terminal.types("\u{3}");
    assert_eq!(terminal.ends(), 0);
}

#[tokio::test]
async fn a_change_asks_on_a_terminal() {
    let shared = Shared::sqlite().await;
    shared.site.abandoned("cut-off").await;
    let line = format!("release {} --reason none", shared.site.digits("cut-off"));
    let mut terminal = Terminal::run(&shared, &line, &[]);
    terminal.shows("Release it? [y/N]");
    terminal.types("n\n");
    assert_eq!(terminal.ends(), 1);
    assert!(shared.site.state("cut-off").await.is_some());

    let mut terminal = Terminal::run(&shared, &line, &[]);
    terminal.shows("Release it? [y/N]");
    terminal.types("y\n");
    assert_eq!(terminal.ends(), 0);
    assert_eq!(shared.site.state("cut-off").await, None);
}

#[tokio::test]
async fn a_record_that_moves_on_while_the_operator_reads_is_left_alone() {
    for shared in Shared::each().await {
        let lease = shared.site.cut_off("late").await;
        let digits = shared.site.digits("late");
        let line = format!("settle {digits} --status 500 --reason none");
        let mut terminal = Terminal::run(&shared, &line, &[]);
        terminal.shows("Settle it? [y/N]");
        // The attempt was only slow.
        shared.site.complete(&lease, &response(201, "paid")).await;
        terminal.types("y\n");
        assert_eq!(terminal.ends(), 4, "{}: {}", shared.url, terminal.lines());
        assert!(terminal.lines().contains("the record has moved on"), "{}", terminal.lines());
        assert_eq!(shared.site.stored("late").await.bytes(), b"paid");
    }
}

#[tokio::test]
async fn tables_have_colours_on_a_terminal_only() {
    let shared = Shared::sqlite().await;
    shared.site.abandoned("cut-off").await;
    for (variables, has_colours) in
        [(&[][..], true), (&[("NO_COLOR", "1")][..], false), (&[("TERM", "dumb")][..], false)]
    {
        let mut terminal = Terminal::run(&shared, "list", variables);
        terminal.shows("abandoned");
        assert_eq!(terminal.ends(), 0);
        assert_eq!(terminal.has_colours(), has_colours, "{variables:?}");
    }
    let ran = crate::program::run("list", &[("IDEMPOTENCY_STORE", &shared.url)]);
    assert!(!ran.out.contains('\u{1b}'), "{}", ran.out);
}

#[tokio::test]
async fn a_long_scan_has_a_progress_bar_on_a_terminal_only() {
    let shared = Shared::redis().await;
    for number in 0..150 {
        shared.site.in_flight(&number.to_string()).await;
    }
    let mut terminal = Terminal::run(&shared, "list --json", &[]);
    terminal.shows("there may be more: these are 100, see --limit");
    assert_eq!(terminal.ends(), 0);
    let raw = String::from_utf8_lossy(&terminal.raw).into_owned();
    assert!(raw.contains(" of 150 records, "), "{raw}");
    // It is gone at the end.
    assert!(!terminal.lines().contains(" of 150 records, "), "{}", terminal.lines());

    let ran = crate::program::run("list --json", &[("IDEMPOTENCY_STORE", &shared.url)]);
    assert_eq!(ran.errors, "there may be more: these are 100, see --limit\n");
}
