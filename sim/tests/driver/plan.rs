//! What a seed expands to: the cluster's settings, and what is done to it at which moment.
//!
//! Everything is drawn before the run begins, so that a plan that is printed says all. Each seed has only some kinds of
//! strikes, with intensities of its own (swarm testing).

use std::fmt;
use std::time::Duration;

use liferaft_raft::config::Config;
use liferaft_raft::sessions::SESSION_EXPIRY;
use liferaft_sim::dice::{Dice, PerMillion};
use liferaft_transport::memory::{Delay, Faults, Probability};

/// The longest spike of a link.
const SPIKE_MAX_MS: u64 = 500;

/// One run of so many is slow.
const SLOW_ONCE_IN: u64 = 5;

/// How many times as long all takes in a slow run: so long that sessions expire.
const SLOWNESS: u32 = 4_000;

/// How many times longer still the spikes of links are in a slow run: frames come when sessions have expired.
const LATE: u32 = 4;

/// The most disks that are copied in a run.
const COPIES_MAX: u64 = 3;

/// What a run is like.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Servers 1 to this one found the cluster.
    pub(crate) voters: u64,
    /// Servers up to this one exist; those behind the voters begin blank.
    pub(crate) servers: u64,
    pub(crate) config: Config,
    pub(crate) snapshot_after_log_bytes: u64,
    pub(crate) request_timeout: Duration,
    /// How long a write of a disk takes.
    pub(crate) disk_latency: (Duration, Duration),
    pub(crate) clients: u64,
    /// How many keys there are, half of them for sequences.
    pub(crate) keys: u8,
    /// How long a client thinks between two calls, in the mean.
    pub(crate) thinking: Duration,
    /// How links are between two strikes at them.
    pub(crate) links: Faults,
    /// Whether links prove who is at their other end. Their keys are drawn anew each time: a run does not repeat.
    pub(crate) proven: bool,
    /// How long faults strike and clients call.
    pub(crate) faults_last: Duration,
    /// What strikes when, in order.
    pub(crate) agenda: Vec<(Duration, Strike)>,
    /// What the operator asks for, one after the other.
    pub(crate) errands: Vec<Errand>,
    /// How many times as long as usual all of this takes, but for disks.
    pub(crate) slowness: u32,
    /// When clients call nothing, and for how long: longer than a session lasts, where the run is slow.
    pub(crate) lull: Option<(Duration, Duration)>,
    /// Who hears nothing when, one after the other, where the run is slow.
    pub(crate) deaf: Vec<Deafness>,
}

/// A member hears nothing for longer than its session lasts, and is heard: what it sends until it misses its leader is
/// done, and when it hears again its session is over.
#[derive(Clone, Debug)]
pub(crate) struct Deafness {
    pub(crate) whom: u64,
    pub(crate) at: Duration,
    pub(crate) lasts: Duration,
}

/// Whom something strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whom {
    /// Whoever leads at that moment, or this server if nobody does.
    Leader(u64),
    /// This server.
    Server(u64),
}

/// What is done to the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Strike {
    /// A member's process ends between two instructions, and starts again. Whether the others notice at once.
    Crash {
        whom: Whom,
        noticed: bool,
        back_after: Duration,
    },
    /// All members crash at once.
    Blackout { back_after: Duration },
    /// A member is asked to stop, and starts again.
    Shutdown { whom: Whom, back_after: Duration },
    /// The next write to a member's disk fails. The member stops, and starts again.
    DiskFailure { whom: Whom, back_after: Duration },
    /// A disk finishes nothing for a while.
    DiskStall { whom: Whom, lasts: Duration },
    /// A member sends and hears nothing for a while, and reads then what reached it before.
    Silence { whom: Whom, lasts: Duration },
    /// Nothing passes between a member and the others.
    Isolation { whom: Whom, lasts: Duration },
    /// Nothing passes between these servers and the others.
    Partition { group: Vec<u64>, lasts: Duration },
    /// One direction of a link carries nothing.
    Cut { from: u64, to: u64, lasts: Duration },
    /// All links are like this for a while.
    Links { faults: Faults, lasts: Duration },
    /// A disk is copied, and its member crashes and starts again. Later the copy runs in its place for a while. Only
    /// where links prove who is there.
    Copy {
        whom: Whom,
        back_after: Duration,
        runs_after: Duration,
        lasts: Duration,
    },
}

/// What the operator asks of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errand {
    /// How long the operator waits before.
    pub(crate) after: Duration,
    /// The member that is asked, if it runs.
    pub(crate) via: u64,
    pub(crate) what: Asked,
}

/// What the operator asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    AddVoter(u64),
    AddLearner(u64),
    Remove(u64),
    Transfer(Option<u64>),
}

impl Strike {
    /// The names of the kinds, in the order of [`kind`](Self::kind).
    pub(crate) const KINDS: [&str; 11] = [
        "crash",
        "blackout",
        "shutdown",
        "disk_failure",
        "disk_stall",
        "silence",
        "isolation",
        "partition",
        "cut",
        "links",
        "copy",
    ];

    /// How many of them are drawn in every run.
    pub(crate) const DRAWN_ALWAYS: usize = 10;

    /// Which of [`KINDS`](Self::KINDS) it is.
    pub(crate) const fn kind(&self) -> usize {
        match self {
            Self::Crash { .. } => 0,
            Self::Blackout { .. } => 1,
            Self::Shutdown { .. } => 2,
            Self::DiskFailure { .. } => 3,
            Self::DiskStall { .. } => 4,
            Self::Silence { .. } => 5,
            Self::Isolation { .. } => 6,
            Self::Partition { .. } => 7,
            Self::Cut { .. } => 8,
            Self::Links { .. } => 9,
            Self::Copy { .. } => 10,
        }
    }
}

impl Plan {
    /// The plan of a seed.
    pub(crate) fn of_seed(seed: u64) -> Self {
        let is_slow = Dice::new(seed, 3).between(1, SLOW_ONCE_IN) == 1;
        let slowness = if is_slow { SLOWNESS } else { 1 };
        // What members do not hold of their logs they read from storage.
        let held = Dice::new(seed, 9).weighted(&[(1, 64 << 20), (1, 0), (1, 1_000)]);
        let mut dice = Dice::new(seed, 1);
        let voters = dice.between(3, 5);
        let servers = (voters + dice.between(0, 2)).min(6);
        let election_timeout = millis(&mut dice, 60, 300);
        let faults_last = millis(&mut dice, 4_000, 8_000);
        let small = dice.falls(PerMillion::percent(50));
        let config = Config::builder()
            .election_timeout(election_timeout * slowness)
            .limits(|limits| {
                limits.log_memory_bytes_max = held;
                limits.trailing_entries = dice.between(0, 40);
                if is_slow {
                    // Whoever misses the end of its session is to be sent a snapshot, little as is written meanwhile.
                    limits.catch_up_bytes_max = 0;
                }
                if small {
                    limits.append_bytes_max = dice.between(100, 2_000);
                    limits.inflight_bytes_max = dice.between(400, 10_000);
                    limits.snapshot_chunk_bytes = dice.between(50, 2_000);
                }
            })
            .build()
            .expect("these settings make sense");
        let mut plan = Self {
            seed,
            voters,
            servers,
            config,
            snapshot_after_log_bytes: dice.between(500, if is_slow { 4_000 } else { 20_000 }),
            request_timeout: millis(&mut dice, 100, 3_000) * slowness,
            disk_latency: (Duration::ZERO, millis(&mut dice, 0, 8)),
            clients: dice.between(3, 8),
            keys: u8::try_from(2 * dice.between(3, 6)).expect("few keys"),
            thinking: millis(&mut dice, 20, 80) * slowness,
            proven: false,
            links: links(&mut dice, 4, slowness),
            faults_last: faults_last * slowness,
            agenda: agenda(&mut dice, servers, election_timeout, faults_last, slowness),
            errands: errands(&mut dice, voters, servers, slowness),
            slowness,
            lull: is_slow.then(|| lull(&mut Dice::new(seed, 4))),
            deaf: Vec::new(),
        };
        if let Some((from, lasts)) = plan.lull {
            let mut dice = Dice::new(seed, 5);
            let mut from = from + lasts;
            while from < plan.faults_last {
                let deafness = Deafness::after(from, &mut dice, servers, &plan.config);
                from = deafness.at + deafness.lasts;
                plan.agenda.extend(deafness.strikes(servers));
                plan.deaf.push(deafness);
            }
            plan.agenda.sort_by_key(|(at, _)| *at);
        }
        plan
    }

    /// The same over links that prove who is at their other end, where a few disks are copied.
    pub(crate) fn over_proven_links(mut self) -> Self {
        let mut dice = Dice::new(self.seed, 10);
        for _ in 0..dice.between(0, COPIES_MAX) {
            let server = dice.between(1, self.servers);
            let is_leader = dice.falls(PerMillion::percent(50));
            let at = millis(&mut dice, 0, 4_000) * self.slowness;
            let copy = Strike::Copy {
                whom: if is_leader {
                    Whom::Leader(server)
                } else {
                    Whom::Server(server)
                },
                back_after: millis(&mut dice, 10, 300) * self.slowness,
                runs_after: millis(&mut dice, 300, 2_000) * self.slowness,
                lasts: millis(&mut dice, 100, 1_500) * self.slowness,
            };
            self.agenda.push((at, copy));
        }
        self.agenda.sort_by_key(|(at, _)| *at);
        self.proven = true;
        self
    }
}

/// A while after the beginning in which sessions expire.
fn lull(dice: &mut Dice) -> (Duration, Duration) {
    let from = Duration::from_secs(dice.between(300, 3_000));
    let more = Duration::from_secs(dice.between(100, 1_200));
    (from, SESSION_EXPIRY + more)
}

impl Deafness {
    fn after(from: Duration, dice: &mut Dice, servers: u64, config: &Config) -> Self {
        let at = from + Duration::from_secs(dice.between(100, 2_000));
        // It sends until it misses its leader. Time is left after its session for others to take a snapshot.
        let sends = 2 * config.election_timeout();
        let more = Duration::from_secs(dice.between(600, 3_000));
        Self {
            whom: dice.between(1, servers),
            at,
            lasts: sends + SESSION_EXPIRY + more,
        }
    }

    fn strikes(&self, servers: u64) -> impl Iterator<Item = (Duration, Strike)> {
        let Self { whom, at, lasts } = *self;
        let others = (1..=servers).filter(move |other| *other != whom);
        others.map(move |from| {
            let to = whom;
            (at, Strike::Cut { from, to, lasts })
        })
    }
}

/// One line for the settings, one for each strike and each errand.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = Self {
            agenda: Vec::new(),
            errands: Vec::new(),
            ..self.clone()
        };
        writeln!(f, "{settings:?}")?;
        for (at, strike) in &self.agenda {
            writeln!(f, "  at {at:?}: {strike:?}")?;
        }
        for Errand { after, via, what } in &self.errands {
            writeln!(f, "  the operator, after {after:?}, asks {via}: {what:?}")?;
        }
        Ok(())
    }
}

fn agenda(
    dice: &mut Dice,
    servers: u64,
    election_timeout: Duration,
    faults_last: Duration,
    slowness: u32,
) -> Vec<(Duration, Strike)> {
    let kinds: Vec<usize> = (0..Strike::DRAWN_ALWAYS)
        .filter(|_| dice.falls(PerMillion::percent(50)))
        .collect();
    let every = dice.between(100, 1_000);
    let lasts_max = dice.between(1, 6) * as_millis(election_timeout);
    let mut agenda = Vec::new();
    let mut at = millis(dice, 0, 2 * every);
    while at < faults_last {
        if let Some(kind) = dice.pick(&kinds) {
            let strike = strike(dice, kind, servers, lasts_max, slowness);
            agenda.push((at * slowness, strike));
        }
        at += millis(dice, 1, 2 * every);
    }
    agenda
}

fn strike(dice: &mut Dice, kind: usize, servers: u64, lasts_max: u64, slowness: u32) -> Strike {
    let lasts = millis(dice, 10, 10 + lasts_max) * slowness;
    let server = dice.between(1, servers);
    let whom = if dice.falls(PerMillion::percent(50)) {
        Whom::Leader(server)
    } else {
        Whom::Server(server)
    };
    match kind {
        0 => Strike::Crash {
            whom,
            noticed: dice.falls(PerMillion::percent(30)),
            back_after: lasts,
        },
        1 => Strike::Blackout { back_after: lasts },
        2 => Strike::Shutdown {
            whom,
            back_after: lasts,
        },
        3 => Strike::DiskFailure {
            whom,
            back_after: lasts,
        },
        4 => Strike::DiskStall { whom, lasts },
        5 => Strike::Silence { whom, lasts },
        6 => Strike::Isolation { whom, lasts },
        7 => Strike::Partition {
            group: (1..=servers)
                .filter(|_| dice.falls(PerMillion::percent(50)))
                .collect(),
            lasts,
        },
        8 => Strike::Cut {
            from: server,
            to: server % servers + 1,
            lasts,
        },
        _ => Strike::Links {
            faults: links(dice, 20, slowness),
            lasts,
        },
    }
}

/// Links that may go wrong in every way, up to so many times in a hundred.
fn links(dice: &mut Dice, percent_max: u64, slowness: u32) -> Faults {
    let some = |dice: &mut Dice| {
        let percent = dice.between(0, percent_max) * dice.between(0, 1);
        Probability::percent(u32::try_from(percent).expect("at most a hundred"))
    };
    let slowest = dice.between(0, percent_max);
    let faults = Faults::none()
        .with_loss(some(dice))
        .with_duplication(some(dice))
        .with_reordering(some(dice));
    let delay = Delay::uniform(Duration::ZERO..=Duration::from_millis(slowest) * slowness);
    let late = if slowness > 1 { LATE } else { 1 };
    let spike = millis(dice, 10, SPIKE_MAX_MS) * slowness * late;
    faults.with_delay(delay.with_spikes(some(dice), spike))
}

fn errands(dice: &mut Dice, voters: u64, servers: u64, slowness: u32) -> Vec<Errand> {
    let count = dice.between(0, 12);
    let errand = |_| Errand {
        after: millis(dice, 50, 1_500) * slowness,
        via: dice.between(1, servers),
        what: match dice.between(0, 9) {
            0..=2 => Asked::AddVoter(dice.between(1, servers)),
            3 => Asked::AddLearner(dice.between(voters, servers)),
            4..=6 => Asked::Remove(dice.between(1, servers)),
            7 => Asked::Transfer(None),
            _ => Asked::Transfer(Some(dice.between(1, servers))),
        },
    };
    (0..count).map(errand).collect()
}

/// So many milliseconds, both ends included.
pub(crate) fn millis(dice: &mut Dice, from: u64, to: u64) -> Duration {
    Duration::from_millis(dice.between(from, to))
}

fn as_millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).expect("a short time")
}
