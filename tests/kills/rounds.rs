//! Starts a member's process, brings it to its end, and starts it again; and holds it to what it has acknowledged.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::book::{Told, WRITERS, under_way_max};
use crate::crash::Crash;

/// For so long a process may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(120);

/// What a process tells before the first write is acknowledged: that its storage is open and its outbox, and what it
/// has found.
const BEFORE_WRITES: u64 = 2 + WRITERS as u64;

/// A process is ended after it has told less than this.
const TOLD_MAX: u64 = 400;

/// A member that is started and brought to its end, and what it is known to hold.
pub(crate) struct Rounds {
    folder: PathBuf,
    dice: Dice,
    crash: Crash,
    /// The boot counter when it was last told.
    boot: u64,
    /// How many values each writer was told that it has written.
    counts: [u64; WRITERS],
    /// How many of them are durable whatever happens: all but those that were told after a file system had failed.
    sure: [u64; WRITERS],
    has_failed: bool,
    tally: Tally,
}

/// What happened in all cycles.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    cycles: u32,
    acknowledged: u64,
    /// Values that were found though nobody had been told that they were written.
    unacknowledged: u64,
    /// Writes that were left in the outbox when it was opened.
    waited: u64,
    /// Values that are not there, and were acknowledged after the file system had failed.
    late: u64,
    /// How often it came to its end before it had opened its storage, and before it had read all that is stored.
    while_opening: u32,
    while_reading: u32,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} cycles: all {} acknowledged writes are there, once and in order, and {} that were not acknowledged; {} \
             that were acknowledged after the file system had failed are not; {} writes were left in the outbox when it was \
             opened; {} ends came while it opened its storage, {} while it read what is stored",
            self.cycles,
            self.acknowledged - self.late,
            self.unacknowledged,
            self.late,
            self.waited,
            self.while_opening,
            self.while_reading
        )
    }
}

impl Rounds {
    pub(crate) fn new(folder: &Path, seed: u64, crash: Crash) -> Self {
        Self {
            folder: folder.to_owned(),
            dice: Dice(seed),
            crash,
            boot: 0,
            counts: [0; WRITERS],
            sure: [0; WRITERS],
            has_failed: false,
            tally: Tally::default(),
        }
    }

    /// Brings the member to its end so many times, and lets it show at last what it holds.
    pub(crate) fn run(mut self, cycles: u32) -> Result<Tally, String> {
        for cycle in 1..=cycles {
            // One in four ends before it writes.
            let end = if self.dice.roll().is_multiple_of(4) {
                BEFORE_WRITES
            } else {
                TOLD_MAX
            };
            let moment = self.dice.roll() % end;
            let crashed = self.cycle(moment);
            crashed.map_err(|why| format!("cycle {cycle}, ended after {moment} lines: {why}"))?;
            self.tally.cycles += 1;
        }
        self.cycle(BEFORE_WRITES)
            .map_err(|why| format!("after the last cycle: {why}"))?;
        if self.tally.acknowledged == 0 {
            return Err("nothing was ever acknowledged".to_owned());
        }
        if self.tally.waited == 0 {
            return Err("nothing was ever left in the outbox".to_owned());
        }
        Ok(self.tally)
    }

    /// Starts it, and brings it to its end once it has told so much.
    fn cycle(&mut self, moment: u64) -> Result<(), String> {
        let mut member = Process::start(&self.folder)?;
        for _ in 0..moment {
            match member.next()? {
                Some(told) => self.note(told)?,
                None => return Err("it ended by itself and did not say why".to_owned()),
            }
        }
        self.crash.strike(&mut member.child)?;
        self.has_failed = self.crash.is_noticed();
        let mut told = moment;
        let mut stopped = None;
        // What it told before it ended counts.
        while let Some(line) = member.next()? {
            match line {
                Told::Stopped { why } if self.crash.is_noticed() => stopped = Some(why),
                line => {
                    told += 1;
                    self.note(line)?;
                }
            }
        }
        if self.crash.is_noticed() && stopped.is_none() {
            return Err("it did not say why it ended".to_owned());
        }
        drop(member);
        self.has_failed = false;
        self.tally.while_opening += u32::from(told == 0);
        self.tally.while_reading += u32::from((1..BEFORE_WRITES).contains(&told));
        self.crash.recover()
    }

    /// Holds what is told against what is known.
    fn note(&mut self, told: Told) -> Result<(), String> {
        match told {
            Told::Opened { boot } if boot > self.boot => self.boot = boot,
            Told::Opened { boot } => return Err(format!("boot {boot} comes after {}", self.boot)),
            Told::Waiting { count } => self.tally.waited += count,
            Told::Found { writer, count } => {
                let (known, sure) = (self.counts[writer], self.sure[writer]);
                // What was under way may be there or not.
                if !(sure..=known + under_way_max(writer)).contains(&count) {
                    return Err(format!(
                        "writer {writer} was told of {known} writes, of {sure} in time, and {count} are there"
                    ));
                }
                self.tally.unacknowledged += count.saturating_sub(known);
                self.tally.late += known.saturating_sub(count);
                (self.counts[writer], self.sure[writer]) = (count, count);
            }
            Told::Done { writer, place } => {
                let known = self.counts[writer];
                if place != known {
                    return Err(format!(
                        "writer {writer} got place {place}, and not {known}"
                    ));
                }
                self.tally.acknowledged += 1;
                self.counts[writer] += 1;
                if !self.has_failed {
                    self.sure[writer] = self.counts[writer];
                }
            }
            Told::Stopped { why } => return Err(format!("it stopped by itself: {why}")),
        }
        Ok(())
    }
}

/// A member's process. It does not outlive this value.
struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    fn start(folder: &Path) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut child = Command::new(program)
            .arg("child")
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("it cannot be started: {error}"))?;
        let stdout = child.stdout.take().expect("it is piped");
        let (sender, lines) = mpsc::sync_channel(16);
        thread::spawn(move || {
            let mut lines = BufReader::new(stdout);
            let mut line = String::new();
            // What does not end as a line does was not told to its end.
            while lines.read_line(&mut line).is_ok() && line.ends_with('\n') {
                if sender.send(line.trim_end().to_owned()).is_err() {
                    return;
                }
                line.clear();
            }
        });
        Ok(Self { child, lines })
    }

    /// What it tells next; `None` once it has ended.
    fn next(&mut self) -> Result<Option<Told>, String> {
        match self.lines.recv_timeout(SILENCE_MAX) {
            Ok(line) => line.parse().map(Some),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => Err(format!("it is silent for {SILENCE_MAX:?}")),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended cannot be killed.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Random numbers (SplitMix64), the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
