//! Writes lines on standard output from a thread of its own: nobody who does not read them holds a member up.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::Duration;

/// The most lines that wait to be written. More are left out and counted.
const LINES_MAX: usize = 256;

/// How long the lines that wait may take to be written at the end.
const ENDING_TIME_MAX: Duration = Duration::from_secs(1);

/// A queue of lines. When it is dropped, it waits until they are written, for at most a second.
#[derive(Debug)]
pub(super) struct Lines {
    /// `None` once it ends.
    queue: Option<SyncSender<String>>,
    left_out: Arc<AtomicU64>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
}

impl Lines {
    /// Starts a thread that writes lines. It writes what `tell_left_out` makes of the number of lines left out, where
    /// there are any.
    pub(super) fn new(
        mut output: impl Write + Send + 'static,
        tell_left_out: impl Fn(u64) -> String + Send + 'static,
    ) -> Self {
        let (queue, lines) = sync_channel(LINES_MAX);
        let (ending, ended) = sync_channel(0);
        let left_out = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&left_out);
        thread::spawn(move || {
            let _ending: SyncSender<()> = ending;
            while let Some(line) = next(&lines, &counted, &tell_left_out) {
                // Nobody may read it any more, which is no reason to stop.
                let _unread = output.write_all(line.as_bytes());
            }
        });
        Self {
            queue: Some(queue),
            left_out,
            ended,
        }
    }

    /// Queues a line, or counts it if there is no room.
    pub(super) fn push(&self, line: String) {
        let queue = self.queue.as_ref().expect("it is there until the end");
        if queue.try_send(line).is_err() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.queue = None;
        let _late = self.ended.recv_timeout(ENDING_TIME_MAX);
    }
}

/// Waits for the line that is to be written next. Lines are left out behind all that waited then, so it is told after
/// these. Returns `None` at the end.
fn next(
    lines: &Receiver<String>,
    left_out: &AtomicU64,
    tell_left_out: impl Fn(u64) -> String,
) -> Option<String> {
    match lines.try_recv() {
        Ok(line) => return Some(line),
        Err(TryRecvError::Empty | TryRecvError::Disconnected) => {}
    }
    match left_out.swap(0, Ordering::Relaxed) {
        0 => lines.recv().ok(),
        count => Some(tell_left_out(count)),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// An output that is read one line at a time.
    struct Reluctant {
        /// Told of each line before it waits to be read.
        asked: Sender<()>,
        may_write: Receiver<()>,
        written: Sender<String>,
    }

    impl Write for Reluctant {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _nobody_asks = self.asked.send(());
            let _all_may = self.may_write.recv();
            let line = String::from_utf8_lossy(bytes).into_owned();
            self.written.send(line).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_nobody_reads_are_left_out_and_counted() {
        let (asked, asking) = channel();
        let (reading, may_write) = channel();
        let (written, output) = channel();
        let reluctant = Reluctant {
            asked,
            may_write,
            written,
        };
        let lines = Lines::new(reluctant, |count| format!("{count} left out"));

        lines.push("0".to_owned());
        // The thread has taken it, and makes no room for another one between those that are left out.
        asking.recv().expect("it is about to be written");
        for number in 1..2 * LINES_MAX {
            lines.push(number.to_string());
        }
        drop(reading);
        drop(lines);

        let mut output: Vec<String> = output.iter().collect();
        let counted = output.pop().expect("it ends with the count");
        let queued = output.len();
        // One is with the thread.
        assert_eq!(queued, LINES_MAX + 1);
        assert_eq!(counted, format!("{} left out", 2 * LINES_MAX - queued));
        let order: Vec<_> = (0..queued).map(|number| number.to_string()).collect();
        assert_eq!(output, order);
    }

    #[test]
    fn an_output_that_is_never_read_does_not_hold_up_the_end() {
        let (asked, _asking) = channel();
        let (_nobody_reads, may_write) = channel();
        let (written, output) = channel();
        let reluctant = Reluctant {
            asked,
            may_write,
            written,
        };
        let lines = Lines::new(reluctant, |_| String::new());
        lines.push("unread".to_owned());

        drop(lines);

        assert!(output.try_recv().is_err());
    }
}
