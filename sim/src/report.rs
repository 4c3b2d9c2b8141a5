//! What a batch has shown, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use liferaft_sim::batch::Ran;
use liferaft_sim::counts::Counts;
use liferaft_sim::digest::Digest;
use liferaft_sim::plan::FaultKind;
use liferaft_sim::schedule::spell_trace;
use liferaft_sim::sometimes::Sometimes;
use serde::Serialize;

use crate::evidence::Files;

/// A batch of so many seeds must have seen everything.
const SEEDS_TELLING: u64 = 2_000;

const NANOS_PER_HOUR: f64 = 3600.0 * 1e9;

/// What the runs of a batch have shown, added up.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    seeds: u64,
    last_seed: u64,
    counts: Counts,
    virtual_nanos: u64,
    worked: Duration,
    alarms: BTreeMap<&'static str, u64>,
    trace: Digest,
}

/// One object that tells of a batch.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    seeds: u64,
    last_seed: u64,
    alarms: u64,
    alarms_by_invariant: BTreeMap<&'static str, u64>,
    /// The digest of all traces, in the order of the seeds.
    trace: String,
    virtual_hours: f64,
    /// For each core, as for `inputs_per_second`: the time that a run took is that of the thread that ran it.
    virtual_hours_per_hour: f64,
    operations: u64,
    faults: BTreeMap<String, u64>,
    inputs_per_second: u64,
    inputs: u64,
    messages: u64,
    committed: u64,
    reads: u64,
    elections: u64,
    crashes: u64,
    snapshots_sent: u64,
    snapshots_restored: u64,
    changes: u64,
    sometimes: BTreeMap<String, u64>,
    /// What must occur in a batch of this size, and has not.
    never: Vec<String>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    hunted: Option<Hunted>,
    /// What failures have left behind.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    files: Option<Files>,
}

/// What became of the hunt for a planted bug.
#[derive(Debug, Serialize)]
pub(crate) struct Hunted {
    pub(crate) bug: String,
    pub(crate) caught: bool,
    pub(crate) oracle: Option<&'static str>,
    pub(crate) seeds_to_detection: Option<u64>,
}

impl Tally {
    pub(crate) fn add(&mut self, ran: &Ran) {
        self.seeds += 1;
        self.last_seed = ran.seed;
        self.counts.add(&ran.outcome.counts);
        self.trace = self.trace.with(ran.outcome.trace.0);
        self.virtual_nanos += ran.outcome.lasted;
        self.worked += ran.took;
        if let Some(alarm) = &ran.outcome.alarm {
            *self.alarms.entry(alarm.invariant).or_default() += 1;
        }
    }

    pub(crate) fn alarms(&self) -> u64 {
        self.alarms.values().sum()
    }

    pub(crate) fn seeds(&self) -> u64 {
        self.seeds
    }

    /// Faults and situations that a batch of this size must have seen, and has not.
    fn never(&self) -> Vec<String> {
        if self.seeds < SEEDS_TELLING {
            return Vec::new();
        }
        let faults = FaultKind::ALL.iter();
        let faults = faults.filter(|kind| kind.is_on() && !self.counts.faults.contains_key(kind));
        let situations = Sometimes::ALL.iter();
        let situations =
            situations.filter(|it| it.is_on() && !self.counts.sometimes.contains_key(it));
        faults.map(key).chain(situations.map(key)).collect()
    }

    pub(crate) fn report(&self, hunted: Option<Hunted>) -> Report {
        let counts = &self.counts;
        let worked = self.worked.as_secs_f64().max(1e-9);
        let virtual_hours = self.virtual_nanos as f64 / NANOS_PER_HOUR;
        let faults = FaultKind::ALL.iter();
        let faults = faults.map(|kind| (key(kind), count(&counts.faults, kind)));
        let situations = Sometimes::ALL.iter();
        let situations = situations.map(|it| (key(it), count(&counts.sometimes, it)));
        let inputs_per_second =
            u128::from(counts.inputs) * 1_000_000 / self.worked.as_micros().max(1);
        Report {
            seeds: self.seeds,
            last_seed: self.last_seed,
            alarms: self.alarms(),
            alarms_by_invariant: self.alarms.clone(),
            trace: spell_trace(self.trace),
            virtual_hours,
            virtual_hours_per_hour: virtual_hours * 3600.0 / worked,
            operations: counts.operations,
            faults: faults.collect(),
            inputs_per_second: u64::try_from(inputs_per_second).unwrap_or(u64::MAX),
            inputs: counts.inputs,
            messages: counts.messages,
            committed: counts.committed,
            reads: counts.reads,
            elections: counts.elections,
            crashes: counts.crashes,
            snapshots_sent: counts.snapshots_sent,
            snapshots_restored: counts.snapshots_restored,
            changes: counts.changes,
            sometimes: situations.collect(),
            // A hunt ends with its first alarm.
            never: if hunted.is_some() {
                Vec::new()
            } else {
                self.never()
            },
            hunted,
            files: None,
        }
    }
}

impl Report {
    /// Whether nothing is wrong: no alarm and nothing missed, or the bug is caught.
    pub(crate) fn is_good(&self) -> bool {
        match &self.hunted {
            Some(hunted) => hunted.caught,
            None => self.alarms == 0 && self.never.is_empty(),
        }
    }

    /// With the files that failures have left behind.
    pub(crate) fn with(self, files: Option<Files>) -> Self {
        Self { files, ..self }
    }

    /// Prints it for a program or for people.
    pub(crate) fn print_as(&self, is_json: bool) {
        if is_json {
            self.print_json();
        } else {
            self.print();
        }
    }

    pub(crate) fn print_json(&self) {
        let json = serde_json::to_string(self).expect("counts and names");
        println!("{json}");
    }

    fn print(&self) {
        let Self {
            seeds,
            virtual_hours,
            inputs_per_second,
            ..
        } = self;
        println!(
            "{seeds} seeds (the last is {}), {virtual_hours:.1} virtual hours, {:.0} an hour and core, {inputs_per_second} inputs a second and core",
            self.last_seed, self.virtual_hours_per_hour
        );
        println!(
            "{} inputs, {} operations, {} entries committed, {} reads, {} elections, {} crashes, {} changes",
            self.inputs,
            self.operations,
            self.committed,
            self.reads,
            self.elections,
            self.crashes,
            self.changes
        );
        println!(
            "{} snapshots sent, {} restored, {} messages",
            self.snapshots_sent, self.snapshots_restored, self.messages
        );
        println!("faults: {}", listed(&self.faults));
        println!("situations: {}", listed(&self.sometimes));
        if !self.never.is_empty() {
            println!(
                "NEVER, so that the batch proves little: {}",
                self.never.join(", ")
            );
        }
        let by_invariant = self.alarms_by_invariant.iter();
        let by_invariant: Vec<_> = by_invariant
            .map(|(of, count)| format!("{of} {count}"))
            .collect();
        println!("{} alarms: {}", self.alarms, by_invariant.join(", "));
    }
}

fn listed(counts: &BTreeMap<String, u64>) -> String {
    let counts = counts.iter().map(|(name, count)| format!("{name} {count}"));
    counts.collect::<Vec<_>>().join(", ")
}

fn count<K: Ord>(counts: &BTreeMap<K, u64>, of: &K) -> u64 {
    counts.get(of).copied().unwrap_or(0)
}

/// A variant's name as a key: `CrashInTurn` is `crash_in_turn`.
fn key(variant: &impl Debug) -> String {
    let mut key = String::new();
    for letter in format!("{variant:?}").chars() {
        if letter.is_uppercase() && !key.is_empty() {
            key.push('_');
        }
        key.extend(letter.to_lowercase());
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_batch_that_has_not_seen_everything_is_not_good() {
        let small = Tally {
            seeds: SEEDS_TELLING - 1,
            ..Tally::default()
        };
        let large = Tally {
            seeds: SEEDS_TELLING,
            ..Tally::default()
        };

        assert!(small.report(None).is_good());
        assert!(!large.report(None).is_good());
        assert!(
            large
                .report(None)
                .never
                .contains(&"crash_in_turn".to_owned())
        );
    }

    #[test]
    fn an_alarm_is_bad_unless_it_is_that_of_a_planted_bug() {
        let alarmed = Tally {
            seeds: 3,
            alarms: BTreeMap::from([("liveness", 1)]),
            ..Tally::default()
        };
        let hunted = |oracle: Option<&'static str>| Hunted {
            bug: "NeverResends".to_owned(),
            caught: oracle.is_some(),
            oracle,
            seeds_to_detection: oracle.map(|_| 3),
        };

        assert!(!alarmed.report(None).is_good());
        assert!(alarmed.report(Some(hunted(Some("liveness")))).is_good());
        assert!(!Tally::default().report(Some(hunted(None))).is_good());
    }

    #[test]
    fn a_report_is_one_object_with_what_became_of_the_hunt_in_it() {
        let hunted = Hunted {
            bug: "NeverResends".to_owned(),
            caught: true,
            oracle: Some("liveness"),
            seeds_to_detection: Some(3),
        };

        let json = serde_json::to_value(Tally::default().report(Some(hunted))).expect("counts");

        assert_eq!(json["oracle"], "liveness");
        assert_eq!(json["seeds_to_detection"], 3);
        assert_eq!(json["faults"]["crash_in_turn"], 0);
    }
}
