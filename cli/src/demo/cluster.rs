//! The members, wherever they run: how they are made, killed and brought back.

use std::path::Path;

use anyhow::Context as _;
use bytes::Bytes;
use futures::future::{join_all, try_join_all};
use liferaft::driver::{Handle, MemberStatus};
use liferaft::ids::{ClusterId, Index, ServerId};
use liferaft::time::Instant;
use liferaft::{Invitation, MembershipPolicy};
use tokio::sync::watch;

use super::chronicle::{Chronicle, Deed};
use super::here::{self, Acquaintance, Disk, Here, Opened};
use super::medium::{Carried, Medium, Meter};
use super::options::Options;
use super::process::{self, Orders, Process};
use super::recorder::{Record, Recorder, now};
use super::settings::{Part, Settings};
use super::severable::{Kill, Knife};
use super::verify::Outcome;
use super::words::{Contact, Order, Standing};

/// A cluster of members on this machine.
pub(super) struct Cluster {
    place: Place,
    settings: Settings,
    cluster: ClusterId,
    seed: u64,
    chronicle: Chronicle,
    seats: Vec<Seat>,
}

/// Where members run.
enum Place {
    /// In this process.
    Here(Medium),
    /// Each in one of its own.
    Processes,
}

/// A server: a disk, and whoever runs on it.
struct Seat {
    part: Part,
    /// `None` if a process has it.
    disk: Option<Disk>,
    contact: Contact,
    /// How often it was started.
    lives: u64,
    life: Life,
}

/// A member that can be reached and does not run yet.
#[expect(clippy::large_enum_variant, reason = "there is one for each member")]
enum Arrival {
    Here(Opened),
    There(Process),
}

struct Life {
    /// `None` once it is killed.
    hand: Option<Hand>,
    /// What it lives on by, cut off, though the others take it for dead.
    cut_off: Option<Hand>,
    killed: watch::Sender<bool>,
    record: Record,
    body: Body,
}

#[expect(clippy::large_enum_variant, reason = "there is one for each member")]
enum Body {
    Here {
        status: watch::Receiver<MemberStatus>,
        knife: Knife,
        meter: Option<Meter>,
    },
    There {
        standing: watch::Receiver<Option<Standing>>,
        /// `None` once it is gone.
        process: Option<Process>,
    },
}

/// A member as one who uses it.
#[derive(Clone)]
enum Hand {
    Here(Handle<Recorder>),
    There(Orders),
}

/// A member as one who writes uses it.
pub(super) struct Writer {
    hand: Hand,
    killed: watch::Receiver<bool>,
}

impl Cluster {
    /// One server that has founded it, and the others blank.
    ///
    /// Its members keep their state in folders of `root`, or in memory.
    pub(super) async fn start(
        options: &Options,
        seed: u64,
        root: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let place = if options.processes {
            Place::Processes
        } else {
            Place::Here(Medium::new(options, seed)?)
        };
        let chronicle = Chronicle::new();
        let parts = (0..options.nodes).map(|member| Part {
            settings: options.settings(),
            member,
            // Apart for all members and all their lives: those who share a seed campaign at the same moments.
            seed: seed.wrapping_add(member as u64),
            folder: root.map(|root| root.join(format!("member-{}", member + 1))),
            forges: options.forger == Some(member),
        });
        let opening = parts.map(|part| open(&place, part, &chronicle));
        let opened = try_join_all(opening).await?;
        let contacts: Vec<Contact> = opened
            .iter()
            .map(|(.., arrival)| arrival.contact().clone())
            .collect();
        let mut cluster = Self {
            place,
            settings: options.settings(),
            cluster: ClusterId(0),
            seed,
            chronicle,
            seats: Vec::with_capacity(options.nodes),
        };
        for (part, disk, arrival) in opened {
            let member = part.member;
            let earlier = acquaintance(seed, member).map(|earlier| &contacts[earlier]);
            let contact = arrival.contact().clone();
            let life = cluster.run(&part, arrival, earlier).await?;
            cluster.seats.push(Seat {
                part,
                disk,
                contact,
                lives: 1,
                life,
            });
        }
        Ok(cluster)
    }

    /// What its members did so far.
    pub(super) const fn chronicle(&self) -> &Chronicle {
        &self.chronicle
    }

    /// The members that are not killed, counted from 0.
    pub(super) fn living(&self) -> Vec<usize> {
        (0..self.seats.len())
            .filter(|member| self.seats[*member].life.hand.is_some())
            .collect()
    }

    /// Waits until these and no others are the members, as many of them vote as are to, and each of them knows that
    /// this is committed. Returns when the last one learnt it.
    pub(super) async fn settled(&self, members: &[usize]) -> anyhow::Result<Instant> {
        let servers = members.iter().map(|member| self.seats[*member].server());
        let mut servers: Vec<ServerId> = servers.collect();
        servers.sort_unstable();
        let voters = self.settings.policy().voters_wanted();
        let mut last = Index::ZERO;
        for member in members {
            let body = &self.seats[*member].life.body;
            let index = body.until(|standing| standing.settled(&servers, voters));
            last = last.max(index.await.context("a member has stopped")?);
        }
        Ok(self.chronicle.committed_by(members, last).await)
    }

    /// Waits until each of these members has the links that it is to have. Returns how many links that are.
    pub(super) async fn meshed(&self, members: &[usize]) -> anyhow::Result<usize> {
        let mut ends = 0;
        for member in members {
            let links = |standing: &Standing| standing.is_meshed().then_some(standing.links);
            let links = self.seats[*member].life.body.until(links).await;
            ends += links.context("a member has stopped")?;
        }
        Ok(ends / 2)
    }

    /// Returns who votes, as this member knows it.
    pub(super) async fn voters(&self, member: usize) -> anyhow::Result<Vec<usize>> {
        let body = &self.seats[member].life.body;
        let voters = body.until(|standing| Some(standing.voters.clone())).await;
        let voters = voters.context("a member has stopped")?;
        let votes = |member: &usize| voters.contains(&self.seats[*member].server());
        Ok((0..self.seats.len()).filter(votes).collect())
    }

    /// Whether a policy that keeps a least number of voters lets so few be all of them.
    pub(super) fn may_shrink_to(&self, members: usize) -> bool {
        let policy: MembershipPolicy = self.settings.policy();
        members >= policy.voters_min()
    }

    /// One who writes through a living member.
    pub(super) fn writer(&self, member: usize) -> anyhow::Result<Writer> {
        Ok(Writer {
            hand: self.hand(member)?.clone(),
            killed: self.seats[member].life.killed.subscribe(),
        })
    }

    /// What a member has applied in its present life.
    pub(super) fn record(&self, member: usize) -> Record {
        self.seats[member].life.record.clone()
    }

    /// Reads the whole chat through a member, linearizably.
    pub(super) async fn read(&self, member: usize) -> anyhow::Result<Vec<Bytes>> {
        let lines = match self.hand(member)? {
            Hand::Here(handle) => here::read(handle).await,
            Hand::There(orders) => orders.read().await,
        };
        lines.with_context(|| format!("member {} cannot read", member + 1))
    }

    /// Kills members, all at once, as a power cut would: first nothing that they say gets out any more, then they are
    /// gone. Their disks remain. Returns the moment.
    ///
    /// In this process they go in turn in three ways: the first one by falling silent, the next one by closing its
    /// sockets, and the one after that is not gone at all but cut off from the others.
    pub(super) fn kill(&mut self, members: &[usize]) -> Instant {
        let at = now();
        let ways = [Kill::Pause, Kill::Close, Kill::Cut];
        let ways = members.iter().zip(ways.into_iter().cycle());
        for (member, way) in ways.clone() {
            self.seats[*member].life.body.kill(way);
        }
        for (member, way) in ways {
            let life = &mut self.seats[*member].life;
            let lives_on = life.hand.clone().filter(|_| way == Kill::Cut);
            life.release();
            life.cut_off = lives_on;
        }
        at
    }

    /// Starts a killed member again, from its disk.
    pub(super) async fn restart(&mut self, member: usize) -> anyhow::Result<()> {
        let members = self.seats.len() as u64;
        let seat = &mut self.seats[member];
        // Its former self must have let go of the disk.
        seat.life.body.ended().await;
        let part = Part {
            seed: seat.part.seed.wrapping_add(seat.lives * members),
            ..seat.part.clone()
        };
        let arrival = arrive(&self.place, &part, seat.disk.as_ref(), &self.chronicle).await?;
        let contact = arrival.contact().clone();
        let known = acquaintance(self.seed, member).filter(|known| self.living().contains(known));
        // Whoever knows nobody that lives finds by its disk who else was there.
        let known = known.map(|known| self.seats[known].contact.clone());
        let life = self.run(&part, arrival, known.as_ref()).await?;
        let seat = &mut self.seats[member];
        seat.lives += 1;
        seat.contact = contact;
        seat.life = life;
        Ok(())
    }

    /// Stops all members, and returns when they have stopped: whoever is cut off by the end of the runtime takes it for
    /// a fault. Returns what UDP has carried for each one that lived, in the life that it had; `None` for those that
    /// did not count it.
    pub(super) async fn stop(&mut self) -> Vec<Option<Carried>> {
        let living = self.living();
        for seat in &mut self.seats {
            seat.life.release();
        }
        let ended = join_all(self.seats.iter_mut().map(|seat| seat.life.body.ended())).await;
        living.into_iter().map(|member| ended[member]).collect()
    }

    /// Runs a member that has arrived. The first one founds the cluster.
    async fn run(
        &mut self,
        part: &Part,
        arrival: Arrival,
        known: Option<&Contact>,
    ) -> anyhow::Result<Life> {
        let founds = self.seats.is_empty();
        let cluster = self.cluster;
        Ok(match arrival {
            Arrival::Here(mut opened) => {
                if founds {
                    self.cluster = opened.found().await?;
                }
                let joins = known.map(|known| known.of(cluster)).transpose()?;
                let (chronicle, member) = (self.chronicle.clone(), part.member);
                let observer = move |at, event: &_| {
                    if let Some(deed) = Deed::of(event) {
                        chronicle.note(member, at, deed);
                    }
                };
                Life::here(opened.start(part, joins, observer).await?)
            }
            Arrival::There(mut process) => {
                let order = match known {
                    Some(known) => Order::Join {
                        invitation: known.invitation(cluster)?.to_string(),
                    },
                    None if founds => Order::Found,
                    None => Order::Return,
                };
                self.cluster = process.start(part.member, order).await?;
                Life::there(process)
            }
        })
    }

    fn hand(&self, member: usize) -> anyhow::Result<&Hand> {
        let hand = self.seats[member].life.hand.as_ref();
        hand.with_context(|| format!("member {} was killed", member + 1))
    }
}

/// The member whose address another one knows: any of those that were made before it, which may be a newcomer itself.
/// The first one knows none.
fn acquaintance(seed: u64, member: usize) -> Option<usize> {
    let random = seed
        .wrapping_add(member as u64)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        >> 33;
    usize::try_from(random)
        .unwrap_or_default()
        .checked_rem(member)
}

/// Makes the disk of a member, and opens it.
async fn open(
    place: &Place,
    part: Part,
    chronicle: &Chronicle,
) -> anyhow::Result<(Part, Option<Disk>, Arrival)> {
    let disk = match place {
        Place::Here(_) => Some(Disk::new(part.folder.clone())),
        Place::Processes => None,
    };
    let arrival = arrive(place, &part, disk.as_ref(), chronicle).await?;
    Ok((part, disk, arrival))
}

/// Opens a member's disk, and listens.
async fn arrive(
    place: &Place,
    part: &Part,
    disk: Option<&Disk>,
    chronicle: &Chronicle,
) -> anyhow::Result<Arrival> {
    Ok(match (place, disk) {
        (Place::Here(medium), Some(disk)) => Arrival::Here(Opened::new(disk, medium).await?),
        _ => Arrival::There(Process::open(part, chronicle).await?),
    })
}

impl Arrival {
    const fn contact(&self) -> &Contact {
        match self {
            Self::Here(opened) => opened.contact(),
            Self::There(process) => process.contact(),
        }
    }
}

impl Contact {
    /// How a newcomer to this cluster finds it.
    fn of(&self, cluster: ClusterId) -> anyhow::Result<Acquaintance> {
        Ok(match self.address {
            Some(_) => Acquaintance::Invited(self.invitation(cluster)?),
            None => Acquaintance::Server(cluster, self.key.server_id()),
        })
    }

    fn invitation(&self, cluster: ClusterId) -> anyhow::Result<Invitation> {
        let invitation = Invitation::new(cluster, [self.key])?;
        Ok(invitation.with_addresses(self.address.clone())?)
    }
}

impl Seat {
    fn server(&self) -> ServerId {
        self.contact.key.server_id()
    }
}

impl Life {
    fn here(here: Here) -> Self {
        Self {
            hand: Some(Hand::Here(here.handle())),
            cut_off: None,
            killed: watch::Sender::new(false),
            record: here.record,
            body: Body::Here {
                status: here.status,
                knife: here.knife,
                meter: here.meter,
            },
        }
    }

    fn there(process: Process) -> Self {
        Self {
            hand: Some(Hand::There(process.orders())),
            cut_off: None,
            killed: watch::Sender::new(false),
            record: process.record.clone(),
            body: Body::There {
                standing: process.standing.clone(),
                process: Some(process),
            },
        }
    }

    /// Lets go of it: whoever writes through it holds it too, and lets go of it now.
    fn release(&mut self) {
        self.killed.send_replace(true);
        self.hand = None;
        self.cut_off = None;
    }
}

impl Body {
    /// Waits until it stands so that there is what is wanted, and returns it; `None` if the member has stopped.
    async fn until<T>(&self, wanted: impl Fn(&Standing) -> Option<T>) -> Option<T> {
        match self {
            Self::Here { status, .. } => here::until(&mut status.clone(), wanted).await,
            Self::There { standing, .. } => process::until(&mut standing.clone(), wanted).await,
        }
    }

    fn kill(&mut self, way: Kill) {
        match self {
            Self::Here { knife, .. } => knife.sever(way),
            Self::There { process, .. } => {
                if let Some(process) = process {
                    process.kill();
                }
            }
        }
    }

    /// Waits until it is over, and its storage is closed. Whoever used it has let go of it. Returns what UDP
    /// has carried for it, if that is counted.
    async fn ended(&mut self) -> Option<Carried> {
        match self {
            Self::Here { status, meter, .. } => {
                while status.changed().await.is_ok() {}
                meter.as_ref().map(Meter::read)
            }
            Self::There { process, .. } => process.take()?.end().await,
        }
    }
}

impl Writer {
    /// Whether the member that it writes through was killed.
    pub(super) fn is_killed(&self) -> bool {
        *self.killed.borrow()
    }

    /// Appends a line, once: what is lost on the way is sent again by the member, under one name.
    pub(super) async fn append(&mut self, line: Bytes) -> Outcome {
        let appended = async {
            match &self.hand {
                Hand::Here(handle) => here::append(handle, line).await,
                Hand::There(orders) => orders.append(line).await,
            }
        };
        tokio::select! {
            // What was answered before the kill counts.
            biased;
            outcome = appended => outcome,
            _ = self.killed.wait_for(|killed| *killed) => Outcome::Unknown,
        }
    }
}
