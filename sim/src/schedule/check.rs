//! What a schedule from a file must be, so that replaying it does nothing but play it.

use super::{Schedule, Timed};
use crate::action::Action;
use crate::choices::{Choice, Series};
use crate::clients::Request;
use crate::clock::{Nanos, SECOND};
use crate::invariants::{Verdict, demand};
use crate::plan::MEMBERS_MAX;

/// The longest phase, delay or leap: an hour.
const NANOS_MAX: Nanos = 3600 * SECOND;

/// The most clients.
const CLIENTS_MAX: usize = 1_000;

/// The longest command, in bytes.
const COMMAND_BYTES_MAX: usize = 1 << 20;

/// The most that a snapshot is padded with, in bytes.
const PADDING_BYTES_MAX: usize = 1 << 24;

/// The most that clocks run wrong, in parts of a million, and the most that they show for one.
const SKEW_MAX: u64 = 500_000;
const RATES: core::ops::RangeInclusive<u64> = 1_000..=1_000_000_000;

/// The most entries that are appended at once for the sake of cluster time.
const MARKS_MAX: u32 = 1_000;

/// How much slower a disk may become.
const SLOWNESS_MAX: u64 = 1_000_000;

impl Schedule {
    /// Whether it can be replayed.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn check(&self) -> Verdict {
        self.check_plan()?;
        let mut before = 0;
        for (place, timed) in self.actions.iter().enumerate() {
            let checked = self.check_action(timed);
            checked.map_err(|error| format!("action {}: {error}", place + 1))?;
            demand!(
                timed.at >= before,
                "action {} comes before the one that it follows",
                place + 1
            );
            before = timed.at;
        }
        for (series, choices) in &self.choices.made {
            self.check_series(*series, choices.values())
                .map_err(|error| format!("{series}: {error}"))?;
        }
        self.choices
            .fresh
            .values()
            .try_for_each(|request| self.check_request(request))
            .map_err(|error| format!("fresh: {error}"))
    }

    fn check_plan(&self) -> Verdict {
        let plan = &self.plan;
        demand!(
            (1..=MEMBERS_MAX).contains(&plan.members),
            "{} members, not 1 to {MEMBERS_MAX}",
            plan.members
        );
        demand!(
            (1..=plan.members).contains(&plan.voters),
            "{} voters of {} members",
            plan.voters,
            plan.members
        );
        demand!(
            (1..=CLIENTS_MAX).contains(&plan.clients.count),
            "{} clients, not 1 to {CLIENTS_MAX}",
            plan.clients.count
        );
        demand!(
            plan.skew_max <= SKEW_MAX,
            "clocks are up to {} parts of a million wrong, more than {SKEW_MAX}",
            plan.skew_max
        );
        demand!(
            plan.machine.padding_bytes <= PADDING_BYTES_MAX,
            "snapshots are padded with {} bytes",
            plan.machine.padding_bytes
        );
        if let Some(membership) = &plan.membership {
            check_time(membership.evict_after)?;
        }
        let latencies = [plan.network.latency, plan.disk.latency];
        demand!(
            latencies.iter().all(|(least, most)| least <= most),
            "a latency whose least is above its most"
        );
        for time in [
            plan.safety_phase,
            plan.network.latency.1,
            plan.network.spike_max,
            plan.network.jam_lasts,
            plan.disk.latency.1,
            plan.disk.stall_max,
            plan.machine.apply_max,
            plan.machine.capture_max,
            plan.clients.patience,
            plan.turn_max,
        ] {
            check_time(time)?;
        }
        Ok(())
    }

    fn check_action(&self, timed: &Timed) -> Verdict {
        check_time(timed.at)?;
        match &timed.action {
            Action::Crash(at, _)
            | Action::CrashInTurn(at, _)
            | Action::Restart(at)
            | Action::Pause(at)
            | Action::Resume(at)
            | Action::Read(at, _)
            | Action::Change(at, _)
            | Action::Transfer(at, None)
            | Action::Capture(at)
            | Action::FailSync(at, _)
            | Action::FillDisk(at, _)
            | Action::FreeDisk(at)
            | Action::Wipe(at)
            | Action::Rot(at, _)
            | Action::CrashInInstall(at)
            | Action::HangDisk(at)
            | Action::ResumeDisk(at)
            | Action::StallMachine(at)
            | Action::ResumeMachine(at)
            | Action::Stranger(at, _)
            | Action::Blank(at)
            | Action::Retire(at)
            | Action::Impostor(at, _)
            | Action::CopyDisk(at)
            | Action::ShowCopy(at) => self.check_member(*at),
            Action::MarkTime(at, times) => {
                demand!(*times <= MARKS_MAX, "{times} marks of time");
                self.check_member(*at)
            }
            Action::PartWhenJoint(at, lasts) => {
                check_time(*lasts)?;
                self.check_member(*at)
            }
            Action::Cut(from, to) | Action::Mend(from, to) | Action::Transfer(from, Some(to)) => {
                self.check_member(*from)?;
                self.check_member(*to)
            }
            Action::DropInFlight | Action::ReplaceLost => Ok(()),
            Action::SetTiming(at, times) => {
                demand!(times.timing().is_some(), "{times:?} make no sense");
                self.check_member(*at)
            }
            Action::SlowDisk(at, slowness) => {
                demand!(*slowness <= SLOWNESS_MAX, "a disk {slowness} times slower");
                self.check_member(*at)
            }
            Action::ClockForward(at, by) | Action::ClockBack(at, by) => {
                check_time(*by)?;
                self.check_member(*at)
            }
            Action::ClockRate(at, rate) => {
                check_rate(*rate)?;
                self.check_member(*at)
            }
            Action::Propose(at, requests) => {
                self.check_member(*at)?;
                requests
                    .iter()
                    .try_for_each(|request| self.check_request(request))
            }
        }
    }

    fn check_member(&self, at: usize) -> Verdict {
        let members = self.plan.members;
        demand!(at < members, "there is no member {} of {members}", at + 1);
        Ok(())
    }

    fn check_client(&self, client: usize) -> Verdict {
        let clients = self.plan.clients.count;
        demand!(
            client < clients,
            "there is no client {client} of {clients}, which count from 0"
        );
        Ok(())
    }

    fn check_request(&self, request: &Request) -> Verdict {
        demand!(
            request.bytes <= COMMAND_BYTES_MAX,
            "a command of {} bytes",
            request.bytes
        );
        self.check_client(request.client)
    }

    fn check_series<'a>(
        &self,
        series: Series,
        choices: impl Iterator<Item = &'a Choice>,
    ) -> Verdict {
        match series {
            Series::ClockOrigin(at)
            | Series::ClockRate(at)
            | Series::CoreSeed(at)
            | Series::TurnWait(at)
            | Series::Write(at)
            | Series::Apply(at)
            | Series::Capture(at)
            | Series::Lane(at)
            | Series::Read(at) => self.check_member(at)?,
            Series::Patience(client) | Series::Pause(client) | Series::Somebody(client) => {
                self.check_client(client)?;
            }
            Series::Link(from, to) => {
                self.check_member(from)?;
                self.check_member(to)?;
            }
        }
        for choice in choices {
            match (series, *choice) {
                (Series::CoreSeed(_), Choice::Number(_)) => {}
                (Series::ClockRate(_), Choice::Number(rate)) => check_rate(rate)?,
                (Series::Somebody(_), Choice::Number(id)) => {
                    let place = usize::try_from(id).unwrap_or(usize::MAX);
                    let place = place.checked_sub(1).ok_or("members count from 1")?;
                    self.check_member(place)?;
                }
                (_, Choice::Number(time)) => check_time(time)?,
                (Series::Link(..), Choice::Lost) => {}
                (Series::Link(..), Choice::Twice(takes, copy)) => {
                    check_time(takes)?;
                    check_time(copy)?;
                }
                (_, Choice::Lost | Choice::Twice(..)) => {
                    return Err("only messages are lost or doubled".to_owned());
                }
            }
        }
        Ok(())
    }
}

fn check_time(time: Nanos) -> Verdict {
    demand!(
        time <= NANOS_MAX,
        "{time} ns are more than an hour, which is the most"
    );
    Ok(())
}

fn check_rate(rate: u64) -> Verdict {
    demand!(
        RATES.contains(&rate),
        "a clock that shows {rate} for a million, not {} to {}",
        RATES.start(),
        RATES.end()
    );
    Ok(())
}
