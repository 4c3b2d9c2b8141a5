//! Reads what is typed.

use std::thread;

use console::Term;
use tokio::sync::mpsc;

/// Keys that wait. More are read later.
const WAITING_MAX: usize = 16;

/// The keys of a terminal.
pub(crate) struct Keys {
    typed: mpsc::Receiver<char>,
}

impl Keys {
    /// Listens, if this is a terminal.
    pub(crate) fn listen(is_terminal: bool) -> Self {
        let (sender, typed) = mpsc::channel(WAITING_MAX);
        if is_terminal {
            // A thread that waits for a key cannot be interrupted: it ends with the process.
            thread::spawn(move || {
                let terminal = Term::stdout();
                while let Ok(key) = terminal.read_key() {
                    if let console::Key::Char(key) = key
                        && sender.blocking_send(key).is_err()
                    {
                        break;
                    }
                }
            });
        }
        Self { typed }
    }

    /// Waits for the next character.
    pub(crate) async fn next(&mut self) -> char {
        match self.typed.recv().await {
            Some(key) => key,
            None => std::future::pending().await,
        }
    }
}
