//! Reads what is typed.

use std::thread;

use console::Term;
use tokio::sync::mpsc;

/// Keys that wait. More are read later.
const WAITING_MAX: usize = 16;

/// The keys of a terminal.
pub(crate) struct Keys {
    typed: mpsc::Receiver<char>,
    /// As the terminal was: whoever waits for a key has it give them at once, and without an echo.
    #[cfg(unix)]
    before: Option<rustix::termios::Termios>,
}

/// Whether this process is in the background of its terminal, where whoever asks for keys is stopped.
#[cfg(unix)]
fn is_behind() -> bool {
    let group = rustix::termios::tcgetpgrp(std::io::stdin());
    group.is_ok_and(|group| group != rustix::process::getpgrp())
}

#[cfg(unix)]
impl Drop for Keys {
    fn drop(&mut self) {
        use rustix::termios::{OptionalActions, tcsetattr};

        if let Some(before) = &self.before {
            let _unless_gone = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
        }
    }
}

impl Keys {
    /// Listens, if this is a terminal.
    pub(crate) fn listen(is_terminal: bool) -> Self {
        let (sender, typed) = mpsc::channel(WAITING_MAX);
        #[cfg(unix)]
        let is_terminal = is_terminal && !is_behind();
        #[cfg(unix)]
        let before = is_terminal.then(|| rustix::termios::tcgetattr(std::io::stdin()).ok());
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
        Self {
            typed,
            #[cfg(unix)]
            before: before.flatten(),
        }
    }

    /// Waits for the next character.
    pub(crate) async fn next(&mut self) -> char {
        match self.typed.recv().await {
            Some(key) => key,
            None => std::future::pending().await,
        }
    }
}
