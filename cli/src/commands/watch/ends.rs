//! What ends `watch`: a key, or a signal.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, poll, read};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// What happened on the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Happened {
    /// The user has seen enough.
    End,
    /// The terminal has another size.
    Resized,
}

/// Listens to the keys and to signals.
pub(super) struct Ends {
    signal: Pin<Box<dyn Future<Output = ()>>>,
    keys: Option<UnboundedReceiver<Event>>,
}

impl Ends {
    /// Listens to signals, and to the keys if they are read one by one.
    pub(super) fn listen(reads_keys: bool) -> Self {
        Self { signal: Box::pin(signal()), keys: reads_keys.then(keys) }
    }

    /// Waits for something to happen.
    pub(super) async fn next(&mut self) -> Happened {
        let Self { signal, keys } = self;
        let key = async {
            match keys {
                Some(keys) => next_of(keys).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = signal => Happened::End,
            happened = key => happened,
        }
    }
}

async fn next_of(keys: &mut UnboundedReceiver<Event>) -> Happened {
    loop {
        match keys.recv().await {
            Some(Event::Key(key)) if is_end(key) => return Happened::End,
            Some(Event::Resize(..)) => return Happened::Resized,
            Some(_) => {}
            // The terminal is gone.
            None => return Happened::End,
        }
    }
}

fn is_end(key: KeyEvent) -> bool {
    let is_ctrl_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind != KeyEventKind::Release
        && (is_ctrl_c || matches!(key.code, KeyCode::Char('q' | 'Q') | KeyCode::Esc))
}

/// A thread waits for the keys. It ends with the process.
fn keys() -> UnboundedReceiver<Event> {
    let (sender, receiver) = unbounded_channel();
    // The first call begins to listen. A new size of the terminal that comes before is lost, and the
    // screen is drawn next. An error comes again from `read`.
    let _ = poll(Duration::ZERO);
    std::thread::spawn(move || {
        while let Ok(event) = read() {
            if sender.send(event).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Waits for Ctrl-C or a request to end. Without a handler, only the default of the system ends it.
async fn signal() {
    let terminated = async {
        if terminated().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => if interrupted.is_err() {
            std::future::pending::<()>().await;
        },
        () = terminated => {}
    }
}

#[cfg(unix)]
async fn terminated() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    signal(SignalKind::terminate())?.recv().await;
    Ok(())
}

#[cfg(not(unix))]
async fn terminated() -> io::Result<()> {
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_escape_and_control_c_end_it() {
        let key = |code, modifiers| is_end(KeyEvent::new(code, modifiers));
        assert!(key(KeyCode::Char('q'), KeyModifiers::NONE));
        assert!(key(KeyCode::Esc, KeyModifiers::NONE));
        assert!(key(KeyCode::Char('c'), KeyModifiers::CONTROL));
        assert!(!key(KeyCode::Char('c'), KeyModifiers::NONE));
        assert!(!key(KeyCode::Enter, KeyModifiers::NONE));
    }
}
