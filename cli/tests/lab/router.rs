//! Forwards packets between devices, each after its time: a heap of what is under way, and dice for each way.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use liferaft_sim::dice::Dice;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tun_rs::SyncDevice;

use super::{Counts, Weather};

/// The longest packet, in bytes: what TUN devices carry by default.
const PACKET_BYTES_MAX: usize = 1500;

/// The most packets under way. More are lost, as on any network.
const UNDER_WAY_MAX: usize = 1 << 16;

/// So many are read from a device before the others have their turn.
const BATCH: usize = 64;

/// How soon the end of the run is noticed.
const SLEEP_MAX: Duration = Duration::from_millis(50);

pub(super) struct Router {
    members: usize,
    weather: Weather,
    seed: u64,
    /// From whom to whom which packets do not go.
    cuts: Mutex<Cuts>,
    counts: Mutex<Counts>,
    is_over: AtomicBool,
}

type Cuts = BTreeMap<(usize, usize), fn(&[u8]) -> bool>;

/// A packet under way, ordered by when it arrives.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Flight {
    due: Instant,
    number: u64,
    to: usize,
    packet: Vec<u8>,
}

/// The way from one member to another.
struct Way {
    dice: Dice,
    /// When the last of the packets arrives that are under way.
    last_due: Option<Instant>,
}

/// What a router keeps for itself.
#[derive(Default)]
struct Traffic {
    flights: BinaryHeap<Reverse<Flight>>,
    ways: BTreeMap<(usize, usize), Way>,
    number: u64,
}

impl Router {
    pub(super) fn new(members: usize, weather: Weather, seed: u64) -> Self {
        Self {
            members,
            weather,
            seed,
            cuts: Mutex::default(),
            counts: Mutex::default(),
            is_over: AtomicBool::new(false),
        }
    }

    pub(super) fn cut(&self, from: usize, to: usize, is_cut: fn(&[u8]) -> bool) {
        self.cutting().insert((from, to), is_cut);
    }

    pub(super) fn heal(&self) {
        self.cutting().clear();
    }

    pub(super) fn counts(&self) -> Counts {
        *self.counting()
    }

    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Forwards until it is ended. The last of the devices is that of the program.
    pub(super) fn run(&self, devices: &[SyncDevice]) {
        let mut traffic = Traffic::default();
        let mut buffer = [0; PACKET_BYTES_MAX];
        while !self.is_over.load(Ordering::Relaxed) {
            let next = traffic.flights.peek();
            let wait = next.map_or(SLEEP_MAX, |Reverse(flight)| {
                let wait = flight.due.saturating_duration_since(Instant::now());
                wait.min(SLEEP_MAX)
            });
            let ready = |device| PollFd::new(device, PollFlags::IN);
            let mut polled: Vec<_> = devices.iter().map(ready).collect();
            let wait = Timespec::try_from(wait).expect("it is short");
            // Interrupted is as good as nothing.
            let _ready = poll(&mut polled, Some(&wait));
            for (from, device) in devices.iter().enumerate() {
                for _ in 0..BATCH {
                    // There is nothing more, or the device is not up yet.
                    let Ok(bytes) = device.recv(&mut buffer) else {
                        break;
                    };
                    self.take(from, &buffer[..bytes], &mut traffic);
                }
            }
            let now = Instant::now();
            while let Some(Reverse(flight)) = traffic.flights.peek()
                && flight.due <= now
            {
                let Reverse(flight) = traffic.flights.pop().expect("it was there");
                // A device that is down loses packets.
                let _sent = devices[flight.to].send(&flight.packet);
            }
        }
    }

    /// Decides what becomes of a packet.
    fn take(&self, from: usize, packet: &[u8], traffic: &mut Traffic) {
        let Some(to) = self.addressee(packet) else {
            return;
        };
        let now = Instant::now();
        if from == self.members || to == self.members {
            traffic.send(to, now, packet);
            return;
        }
        let stream = (from * self.members + to) as u64;
        let way = traffic.ways.entry((from, to)).or_insert_with(|| Way {
            dice: Dice::new(self.seed, stream),
            last_due: None,
        });
        // Whatever becomes of a packet, as many numbers are drawn: those of the next are the same.
        let weather = &self.weather;
        let dice = &mut way.dice;
        let is_lost = dice.falls(weather.loss);
        let is_doubled = dice.falls(weather.doubles);
        let jitter = u64::try_from(weather.jitter.as_nanos()).expect("it is short");
        let mut due = || now + weather.delay + Duration::from_nanos(dice.between(0, jitter));
        let (due, again) = (due(), due());
        let mut counts = self.counting();
        counts.sent += 1;
        let is_cut = self.cutting().get(&(from, to)).copied();
        if is_cut.is_some_and(|is_cut| is_cut(packet)) {
            counts.cut += 1;
            return;
        }
        if is_lost {
            counts.lost += 1;
            return;
        }
        counts.overtaking += u64::from(way.last_due.is_some_and(|last| due < last));
        way.last_due = way.last_due.max(Some(due));
        traffic.send(to, due, packet);
        if is_doubled {
            counts.doubled += 1;
            traffic.send(to, again, packet);
        }
    }

    /// Whose packet it is: IPv4 within the network's addresses.
    fn addressee(&self, packet: &[u8]) -> Option<usize> {
        let version = packet.first()? >> 4;
        let [10, 77, 0, host] = *packet.get(16..20)? else {
            return None;
        };
        match (version, host) {
            (4, 254) => Some(self.members),
            (4, 1..) => Some(usize::from(host) - 1).filter(|member| *member < self.members),
            _ => None,
        }
    }

    fn cutting(&self) -> MutexGuard<'_, Cuts> {
        self.cuts.lock().expect("nobody panics")
    }

    fn counting(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().expect("nobody panics")
    }
}

impl Traffic {
    fn send(&mut self, to: usize, due: Instant, packet: &[u8]) {
        if self.flights.len() >= UNDER_WAY_MAX {
            return;
        }
        self.number += 1;
        self.flights.push(Reverse(Flight {
            due,
            number: self.number,
            to,
            packet: packet.to_owned(),
        }));
    }
}
