//! Reads what is typed.

use std::thread;

use console::Term;
use tokio::sync::mpsc;

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Kill,
    Pause,
    Restart,
    Quit,
}

/// The keys of a terminal.
pub(super) struct Keys {
    typed: mpsc::Receiver<Key>,
}

impl Keys {
    /// Listens, if this is a terminal.
    pub(super) fn listen(is_terminal: bool) -> Self {
        let (sender, typed) = mpsc::channel(16);
        if is_terminal {
            // A thread that waits for a key cannot be interrupted: it ends with the process.
            thread::spawn(move || {
                let terminal = Term::stdout();
                while let Ok(key) = terminal.read_key() {
                    let key = match key {
                        console::Key::Char('k') => Key::Kill,
                        console::Key::Char('p') => Key::Pause,
                        console::Key::Char('r') => Key::Restart,
                        console::Key::Char('q') => Key::Quit,
                        _ => continue,
                    };
                    if sender.blocking_send(key).is_err() {
                        break;
                    }
                }
            });
        }
        Self { typed }
    }

    /// Waits for the next key.
    pub(super) async fn next(&mut self) -> Key {
        match self.typed.recv().await {
            Some(key) => key,
            None => std::future::pending().await,
        }
    }
}
