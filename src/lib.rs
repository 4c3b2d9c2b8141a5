//! Replicated state for applications that must keep working when the infrastructure does not.
//!
//! Every running copy of an application is a *member* of one cluster, and all members hold the same state: a key-value
//! store ([`Kv`]) or a [`StateMachine`] of your own. There is no central server. As long as a majority of the voters
//! can talk to each other, the cluster takes commands, in one order for all, each exactly once, and gives linearizable
//! answers, on whichever member they are asked. Underneath is Raft, whole, as in Diego Ongaro's dissertation
//! "Consensus: Bridging Theory and Practice" (cited as §).
//!
//! # Quick start
//!
//! Three members on disk, in one process, connected by the memory transport. The cluster is founded once, by a run that
//! is told so. Stopped in whatever way, and started again in the same place, its members go on with all that was
//! written:
//!
//! ```
//! use std::time::Duration;
//!
//! use liferaft::{DiskStorage, Kv, KvHandle, Member, MemoryNetwork, Storage};
//!
//! #[tokio::main]
//! async fn main() {
//!     // `cargo run -- found` once, and `cargo run` from then on.
//!     let founds = std::env::args().any(|argument| argument == "found");
//!     # let founds = !founds;
//!     if let Err(error) = camp(founds).await {
//!         eprintln!("error: {error}");
//!         std::process::exit(1);
//!     }
//! }
//!
//! async fn camp(founds: bool) -> Result<(), Box<dyn std::error::Error>> {
//!     # let site = std::env::temp_dir().join(format!("liferaft-start-{}", std::process::id()));
//!     # std::fs::create_dir_all(&site)?;
//!     # std::env::set_current_dir(&site)?;
//!     // A folder is one server: it keeps the key that the server's id comes from, its votes and its log.
//!     let mut disks = Vec::new();
//!     for label in ["ada", "bob", "eve"] {
//!         disks.push((label, DiskStorage::open(format!("data/{label}")).await?));
//!     }
//!     // Those that belong to the cluster come first. Any of the folders may be lost.
//!     disks.sort_by_key(|(_, disk)| disk.cluster().is_none());
//!     if founds {
//!         // This makes the cluster. It is refused where there is one: another one would be empty.
//!         Member::found(&mut disks[0].1).await?;
//!     }
//!
//!     let network = MemoryNetwork::new(1);
//!     let mut members: Vec<KvHandle> = Vec::new();
//!     for (label, disk) in disks {
//!         let transport = network.connect(disk.identity().clone())?;
//!         let mut member = Member::builder(Kv::new(), transport, disk).label(label);
//!         if let Some(first) = members.first().map(KvHandle::raft) {
//!             // The others join it, by any member's address.
//!             member = member.join(first.cluster(), first.id());
//!         }
//!         members.push(KvHandle::new(member.start().await?));
//!     }
//!     // They run, and are not members yet: once they are, any one of the three may die. One whose folder was lost is
//!     // a new server, which votes once its old self is evicted, after 10 s of silence.
//!     for member in &members {
//!         member.raft().within(Duration::from_secs(60)).joined().await?;
//!     }
//!
//!     let (one, another) = (&members[1], &members[2]);
//!     one.set("camp", "below the bridge").await?;
//!     let camp = another.get("camp").await?;
//!     let read = String::from_utf8_lossy(camp.as_deref().unwrap_or_default());
//!     println!("{} reads: {read}", another.raft().label());
//!     # assert_eq!(read, "below the bridge");
//!     # for member in &members {
//!     #     member.raft().stop().await;
//!     # }
//!     # std::fs::remove_dir_all(&site)?;
//!     Ok(())
//! }
//! ```
//!
//! A [`Handle`] is cheap to clone. The member stops some time after its last handle is dropped; to open its folder
//! again in the same program, wait for [`stop().await`](Handle::stop), which closes it. [`Handle::shutdown`] stops a
//! member that others can do without, and [`Handle::leave`] takes it out of its cluster for good.
//!
//! # A state machine of your own
//!
//! Commands change the state and are replicated; queries only look at it. Commands and replies are [serde] types. All
//! members apply the same commands in the same order, so [`apply`](StateMachine::apply) must depend on nothing else: no
//! clock (the [`ApplyContext`] has the cluster's), no randomness, no order of a hash map. If it panics at a command, it
//! does so on every member, and all of them stop.
//!
//! Commands and replies are encoded without names, compactly, and are read by other versions of the program: [`codec`]
//! says what has no encoding (`#[serde(untagged)]`, `#[serde(flatten)]`, `serde_json::Value`) and how a type may
//! change, by an example: a new variant goes behind the last one, and is sent once all members know it. A state that
//! serde knows may be encoded by it too, as in `examples/state_machine.rs`.
//!
//! ```
//! use liferaft::{ApplyContext, Capture, RestoreError, StateMachine};
//!
//! /// The highest level that a river has reached.
//! #[derive(Default)]
//! struct HighWater {
//!     centimetres: u32,
//! }
//!
//! impl StateMachine for HighWater {
//!     type Command = u32;
//!     type Reply = bool;
//!     type Query = ();
//!     type Answer = u32;
//!
//!     fn apply(&mut self, _: ApplyContext, measured: u32) -> bool {
//!         let is_higher = measured > self.centimetres;
//!         self.centimetres = self.centimetres.max(measured);
//!         is_higher
//!     }
//!
//!     fn query(&self, (): ()) -> u32 {
//!         self.centimetres
//!     }
//!
//!     // Captures quickly; what is returned encodes later, while commands go on being applied.
//!     fn snapshot(&self) -> impl Capture {
//!         let centimetres = self.centimetres;
//!         move || centimetres.to_be_bytes().to_vec()
//!     }
//!
//!     fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError> {
//!         self.centimetres = u32::from_be_bytes(state.try_into().map_err(RestoreError::new)?);
//!         Ok(())
//!     }
//! }
//!
//! # use liferaft::{Member, MemoryNetwork, MemoryStorage, Storage};
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let mut storage = MemoryStorage::default();
//! # Member::found(&mut storage).await?;
//! # let transport = MemoryNetwork::new(1).attach(storage.identity().id())?;
//! let river = Member::builder(HighWater::default(), transport, storage).start().await?;
//!
//! assert!(river.propose(412).await?);
//! assert!(!river.propose(390).await?);
//! assert_eq!(river.read(()).await?, 412);
//! # Ok(())
//! # }
//! ```
//!
//! # What becomes of a command
//!
//! Every call is answered at its deadline at the latest: [`MemberBuilder::request_timeout`], or [`Handle::within`] for
//! one call. The answer is one of three, never a guess:
//!
//! - *done*: the reply. The command is in effect, once, and stays so. ([`ProposeError::ReplyUnreadable`] says so too:
//!   the reply came with a snapshot and does not [decode](codec).)
//! - *not done*: an error of which [`is_definite`](KvError::is_definite) is true. It never will be done.
//! - *unknown*: any error that is neither, as [`ProposeError::Unknown`]. It may be done already, later, or never. Look
//!   before you ask again, or make commands whose repetition does no harm, as by
//!   [`compare_and_set`](KvHandle::compare_and_set) and [`seq_append`](KvHandle::seq_append).
//!
//! The text of every error begins with the outcome.
//!
//! Until the deadline a lost message, a new leader or a full queue elsewhere is the member's business, not the
//! caller's.
//!
//! ```
//! use std::time::Duration;
//!
//! # use liferaft::{Configuration, Founding, Kv, KvHandle, Member, MemoryNetwork, MemoryStorage, Storage};
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let network = MemoryNetwork::new(1);
//! # let disks = [(); 3].map(|()| MemoryStorage::default());
//! # let ids = disks.each_ref().map(|disk| disk.identity().id());
//! # let founding = Founding::new(Configuration::of_voters(ids));
//! # let mut members = Vec::new();
//! # for mut disk in disks {
//! #     founding.found(&mut disk).await?;
//! #     let member = Member::builder(Kv::new(), network.attach(disk.identity().id())?, disk);
//! #     members.push(KvHandle::new(member.start().await?));
//! # }
//! # members[0].set("camp", "at the school").await?;
//! # let leader = members[0].raft().status().borrow().leader().expect("it was elected");
//! # let member = members.iter().find(|member| member.raft().id() == leader).expect("one of them");
//! // The leader loses touch with the others. It may have sent the command before it noticed.
//! network.partition(&[&[leader]]);
//! match member.within(Duration::from_secs(2)).set("camp", "below the bridge").await {
//!     Ok(_) => println!("done"),
//!     // "not done: no leader could be asked before the deadline"
//!     Err(error) if error.is_definite() => println!("{error}; let us try another member"),
//!     // "unknown: the command was sent, and no reply came before the deadline"
//!     Err(error) => println!("{error}; let us look before we try again"),
//! }
//! # let again = member.within(Duration::from_secs(2)).set("camp", "below the bridge").await;
//! # let told = again.expect_err("nobody answers").to_string();
//! # assert!(told.starts_with("not done: no leader") || told.starts_with("unknown: the command was sent"));
//!
//! // Together again, they take commands as if nothing had happened.
//! network.heal_all();
//! member.set("camp", "on the hill").await?;
//! # assert_eq!(member.get("camp").await?.as_deref(), Some(&b"on the hill"[..]));
//! # Ok(())
//! # }
//! ```
//!
//! # Reading
//!
//! [`read`](Handle::read) is linearizable: it sees every command that was done, anywhere, before it was asked. A leader
//! confirms with a majority that it still leads; nothing is written. [`read_local`](Handle::read_local) answers at once
//! from the member's own state and says how old that may be, for a member that is cut off or a screen that is drawn
//! often. In between is [`read_local_within`](Handle::read_local_within): from the member's own state if that is at
//! most so old, and otherwise once it is. A [`KvHandle`] has all of them: `get`, `get_local` and `get_local_within`.
//!
//! | read | sees | asks | while cut off |
//! |---|---|---|---|
//! | `read` | all that was done before it | the leader, and through it a majority; many reads share a question | times out |
//! | `read`, with a [`ReadLease`] | the same | the leader, which asks nobody | times out |
//! | `read_local_within` | all that was done until so long ago | nobody, while the leader is heard | times out once the state is older |
//! | `read_local` | what has arrived here | nobody | answers, and says how old it may be |
//!
//! Leases rest on clocks, so they are off unless [asked for](config::ConfigBuilder::read_lease), and never in browsers.
//!
//! ```
//! # use std::time::Duration;
//! # use liferaft::{Configuration, Founding, Kv, KvHandle, Member, MemoryNetwork, MemoryStorage, Storage};
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let network = MemoryNetwork::new(1);
//! # let disks = [(); 3].map(|()| MemoryStorage::default());
//! # let ids = disks.each_ref().map(|disk| disk.identity().id());
//! # let founding = Founding::new(Configuration::of_voters(ids));
//! # let mut members = Vec::new();
//! # for mut disk in disks {
//! #     founding.found(&mut disk).await?;
//! #     let member = Member::builder(Kv::new(), network.attach(disk.identity().id())?, disk);
//! #     members.push(KvHandle::new(member.start().await?));
//! # }
//! # let bob = &members[1];
//! bob.set("camp", "below the bridge").await?;
//!
//! network.partition(&[&[ids[1]]]);
//! liferaft::platform::sleep_until(liferaft::platform::now() + Duration::from_secs(60)).await;
//!
//! assert!(bob.within(Duration::from_secs(2)).get("camp").await.is_err());
//! let camp = bob.get_local("camp").await?;
//! assert_eq!(camp.answer.as_deref(), Some(&b"below the bridge"[..]));
//! assert!(camp.age.is_some_and(|age| age >= Duration::from_secs(60)));
//!
//! network.heal_all();
//! let camp = bob.get_local_within("camp", Duration::from_secs(2)).await?;
//! assert!(camp.age.is_some_and(|age| age <= Duration::from_secs(2)));
//! # Ok(())
//! # }
//! ```
//!
//! # Clients
//!
//! A process that only uses what a cluster holds is a [`Client`]: it has no log and no vote, and the same calls.
//! Members are built to [serve](MemberBuilder::serve_clients) clients, which come by invitations of their own. A client
//! finds all members by one of them and follows the leader, and each of its commands takes effect once, whatever
//! becomes of links and leaders meanwhile.
//!
//! ```
//! use liferaft::{Client, Identity, Kv, KvHandle, Terms};
//!
//! # use liferaft::{Founding, Member, MemoryNetwork, MemoryStorage, Storage};
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let network = MemoryNetwork::new(1);
//! # let mut disk = MemoryStorage::default();
//! # Founding::by(disk.identity()).closed().found(&mut disk).await?;
//! # let transport = network.connect(disk.identity().clone())?;
//! let ada = Member::builder(Kv::new(), transport, disk).serve_clients().start().await?;
//! let invitation = ada.invite(Terms::writing()).await?;
//!
//! // In another process, over another carrier:
//! let identity = Identity::draw();
//! let transport = network.connect(identity.clone())?;
//! let client: Client<Kv> = Client::builder(identity, transport, invitation).start()?;
//! let kv = KvHandle::new(client);
//! kv.set("camp", "below the bridge").await?;
//! assert_eq!(kv.get("camp").await?.as_deref(), Some(&b"below the bridge"[..]));
//! # Ok(())
//! # }
//! ```
//!
//! # Members come and go
//!
//! A cluster is [founded](Member::found) by one server, or by [several together](Founding), and this is done once, with
//! storage that is blank: it draws the [`ClusterId`]. Others [join](MemberBuilder::join) by that id and the address of
//! any member, and [`joined`](Handle::joined) waits until they take part; or an operator adds them:
//! [`add_server`](Handle::add_server) lets a server catch up before its vote counts,
//! [`remove_server`](Handle::remove_server) takes it out, and [`change_membership`](Handle::change_membership) does
//! many of both in one step. [`leave`](Handle::leave) takes out the member that is asked, and hands its vote to one
//! that has caught up. A server that asks the wrong cluster, or that was removed, is told so: [`Exclusion`]. Just under
//! half of the *voters* may fail: of three one, of five two. Learners, which receive the log and have no vote, count
//! for nothing here.
//!
//! A [`ServerId`] is the digest of a key that is drawn with the [`Storage`] of the server and stays in it. So the
//! storage is opened first, then the transport is made with its [`identity`](Storage::identity), and then the member. A
//! member that is started again over the same storage is the same server, and needs to be told neither its cluster nor
//! who is in it. One whose storage was lost is another server, and joins as such, also if it was the founder: so a
//! program founds when it is told to, and never because its storage is blank. People call servers by their
//! [labels](MemberBuilder::label).
//!
//! [`status`](Handle::status) is a value to watch: role, term, leader, configuration, how far each peer has got, how
//! much waits, and why a member has stopped. [`events`](Handle::events) is a stream of what happens. The feature
//! `metrics` publishes counters and gauges; `docs/observability.md` in the repository lists them.
//!
//! ```
//! # use liferaft::{Kv, Member, MemoryNetwork, MemoryStorage, Storage};
//! use liferaft::{MembershipChange, MembershipError};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let network = MemoryNetwork::new(1);
//! # let mut members = Vec::new();
//! # let mut disks = [(); 4].map(|()| MemoryStorage::default());
//! # let cluster = Member::found(&mut disks[0]).await?;
//! # for (disk, label) in disks.into_iter().zip(["ada", "bob", "eve", "dan"]) {
//! #     let member = Member::builder(Kv::new(), network.attach(disk.identity().id())?, disk).label(label);
//! #     members.push(member.cluster(cluster).manual_membership().start().await?);
//! # }
//! # let [ada, bob, eve, dan] = &members[..] else { panic!("there are four") };
//! ada.add_server(bob.id()).await?;
//! bob.change_membership(MembershipChange::add_voter(eve.id())).await?;
//! bob.add_learner(dan.id()).await?;
//!
//! let again = bob.add_server(eve.id()).await;
//! assert_eq!(again, Err(MembershipError::AlreadyMember(eve.id())));
//!
//! // The leader goes: it hands over first, its vote too, and the others go on without it.
//! ada.leave().await?;
//! let status = bob.wait_for(|status| status.leader().is_some_and(|leader| leader != ada.id())).await?;
//! let leader = [bob, eve, dan].into_iter().find(|member| Some(member.id()) == status.leader());
//! println!("{} leads", leader.expect("that was waited for").label());
//! dan.joined().await?;
//! # let configuration = bob.wait_for(|status| status.raft.configuration.is_voter(dan.id())).await?.raft.configuration;
//! # assert!(configuration.voters().len() == 3 && !configuration.contains(ada.id()));
//! # Ok(())
//! # }
//! ```
//!
//! # Who may join
//!
//! Members prove their keys to each other before anything that they send counts, and encrypt whatever leaves the
//! process. Whose key counts is in the log: those of the members, and of whom they take in.
//!
//! An *open* cluster takes in whoever reaches it, and believes it. That is for trying out, and refused where others
//! than this process reach it ([`StartError::OpenToAll`]). A [*closed*](Founding::closed) one takes in who has an
//! [`Invitation`], which any member [writes](Handle::invite): a text with the cluster's id, the keys of some members,
//! their [addresses](MemberBuilder::addresses), and the secret of a token. How often it is used is recorded in the log,
//! so a copy is good for nothing once the [`Terms`] are used up or over; [`revoke`](Handle::revoke) ends it before. It
//! travels as it is, as a [link](Invitation::link), or as a QR code (feature `qr`), and is a secret on its way.
//!
//! [`remove_server`](Handle::remove_server) expels a server: its links are cut, and its key is refused from the moment
//! the removal is committed, until an operator adds it. Who was only silent and was evicted for it comes back without
//! an invitation. Raft is not Byzantine: a *member* that lies is out of scope.
//!
//! ```
//! use std::time::Duration;
//! use liferaft::{Exclusion, Founding, Invitation, Kv, Member, MemoryNetwork, MemoryStorage, Storage, Terms};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let network = MemoryNetwork::new(1);
//! let mut disk = MemoryStorage::default();
//! Founding::by(disk.identity()).closed().found(&mut disk).await?;
//! let transport = network.connect(disk.identity().clone())?;
//! let ada = Member::builder(Kv::new(), transport, disk).start().await?;
//!
//! // Two may come within the hour. Whoever reads the text may be one of them.
//! let terms = Terms::membership().with_uses(2).with_valid_for(Duration::from_secs(3600));
//! let text = ada.invite(terms).await?.to_string();
//!
//! // Elsewhere. A member that is started again needs no invitation any more.
//! let invitation: Invitation = text.parse()?;
//! let disk = MemoryStorage::default();
//! let transport = network.connect(disk.identity().clone())?;
//! let bob = Member::builder(Kv::new(), transport, disk).invited(invitation).start().await?;
//! bob.joined().await?;
//!
//! ada.remove_server(bob.id()).await?;
//! let told = bob.wait_for(|status| status.exclusion.is_some()).await?;
//! assert_eq!(told.exclusion, Some(Exclusion::Removed));
//! # Ok(())
//! # }
//! ```
//!
//! # On disk
//!
//! A [`DiskStorage`] is a folder. What a member acknowledged is in it, whether the program ends, is killed or loses its
//! power. A [`MemoryStorage`] ends with the program: it is for tests, for browsers, and for members that may forget,
//! and the other examples here use it for brevity.
//!
//! - **Compaction.** A snapshot takes the place of the log after 4 MiB of it, or after as much as the last snapshot has
//!   if that is more ([`snapshot_after_log_bytes`](MemberBuilder::snapshot_after_log_bytes)); with
//!   [`snapshot_after_log_entries`](MemberBuilder::snapshot_after_log_entries) also after so many entries, which bounds
//!   how long a restart takes.
//! - **A full disk.** Before it is full, a leader refuses commands ([`ProposeError::NoRoom`]) and another one leads
//!   ([`is_low`](driver::StorageStatus::is_low) in its status). When nothing is left the member stops; with room again
//!   it is started as it is.
//! - **Damage** is an error when the folder is opened, never wrong data. `liferaft inspect DIR` shows it, and
//!   `liferaft rebuild DIR` sets the store aside: the member then *joins*, as a new server, and gets all from the
//!   others. Whoever founds instead has a second cluster, and an empty one.
//! - **A backup** is made while the member runs: `liferaft backup DIR TO`. It is the way back for a cluster of one
//!   voter, and for one whose majority is gone: `liferaft recover` founds a new cluster from it.
//! - **An outbox** that survives the program has a [`DiskOutboxStore`](storage::outbox::DiskOutboxStore). What is
//!   [stored](kv::KvTicket::stored) in it is sent, once and in order, by whichever run of the program finds a leader.
//!
//! The same is in [`storage`] as functions. [docs/storage.md] has every byte of a folder, and what it costs and takes;
//! `examples/durable.rs` is a program with one.
//!
//! ```
//! use liferaft::storage::outbox::DiskOutboxStore;
//! # use liferaft::{DiskStorage, Kv, KvHandle, Member, MemoryNetwork, OutboxConfig, Storage};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = std::env::temp_dir().join(format!("liferaft-chapter-{}", std::process::id()));
//! # let network = MemoryNetwork::new(1);
//! # let mut blank = DiskStorage::open(&folder).await?;
//! # Member::found(&mut blank).await?;
//! # drop(blank);
//! let disk = DiskStorage::open(&folder).await?;
//! let transport = network.attach(disk.identity().id())?;
//! let member = Member::builder(Kv::new(), transport, disk).snapshot_after_log_bytes(1 << 20);
//! let kv = KvHandle::new(member.start().await?);
//!
//! let waiting = DiskOutboxStore::open(&folder, "uplink").await?;
//! let outbox = kv.outbox(OutboxConfig::default().store(waiting)).await?;
//! let mut camp = outbox.set("camp", "below the bridge")?;
//! assert!(camp.stored().await, "on the disk, whoever can be reached");
//! camp.await?;
//!
//! // Only when this returns may the folder be opened again.
//! kv.raft().stop().await;
//! # drop(DiskStorage::open(&folder).await?);
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok(())
//! # }
//! ```
//!
//! # A carrier of your own
//!
//! What moves packets of bytes, by UDP or by radio, is a [`Carrier`]: it may lose, double, reorder and even change
//! them, and knows nobody. An [`Endpoint`] makes links of one or several: handshakes, encryption, resending and limits
//! are there already. `docs/links.md` in the repository has what a carrier promises; this one is made of tokio's
//! channels:
//!
//! ```
//! use std::task::{Context, Poll};
//! use liferaft::transport::carrier::{Address, CarrierEvent, CarryError, Channel, DialError, PACKET_BYTES_MIN};
//! use liferaft::transport::carrier::{Packet, Path};
//! use liferaft::{Carrier, Endpoint};
//! use tokio::sync::mpsc::{Receiver, Sender, channel};
//!
//! /// One end of some cables.
//! struct Cables {
//!     number: u8,
//!     inbox: Receiver<(Path, Packet)>,
//!     ends: Vec<Sender<(Path, Packet)>>,
//! }
//!
//! fn path_to(number: u8) -> Path {
//!     Path::new(&[number], &[])
//! }
//!
//! impl Carrier for Cables {
//!     fn scheme(&self) -> &str {
//!         "cable"
//!     }
//!
//!     fn packet_bytes_max(&self) -> usize {
//!         PACKET_BYTES_MIN
//!     }
//!
//!     fn dial(&mut self, address: &Address) -> Result<Path, DialError> {
//!         let number = address.rest().parse();
//!         number.map(path_to).map_err(|_| DialError::BadAddress(address.clone()))
//!     }
//!
//!     fn send(&mut self, path: &Path, _: Channel, packet: Packet) -> Result<(), CarryError> {
//!         let number = usize::from(path.origin()[0]);
//!         let end = self.ends.get(number).ok_or(CarryError::Closed)?;
//!         // What finds no room is lost: links send again what must arrive.
//!         let _lost = end.try_send((path_to(self.number), packet));
//!         Ok(())
//!     }
//!
//!     fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<CarrierEvent>> {
//!         let channel = Channel::Datagram;
//!         let arrived = |(path, packet)| CarrierEvent::Packet { path, channel, packet };
//!         self.inbox.poll_recv(context).map(|received| received.map(arrived))
//!     }
//! }
//!
//! # use liferaft::{Founding, Kv, KvHandle, Member, MemoryStorage, Storage, Terms};
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let [(to_ada, for_ada), (to_bob, for_bob)] = [(); 2].map(|()| channel(128));
//! # let ends = vec![to_ada, to_bob];
//! # let adas = Cables { number: 0, inbox: for_ada, ends: ends.clone() };
//! # let bobs = Cables { number: 1, inbox: for_bob, ends };
//! # let mut disk = MemoryStorage::default();
//! # Founding::by(disk.identity()).closed().found(&mut disk).await?;
//! let transport = Endpoint::new(disk.identity().clone(), adas);
//! let ada = Member::builder(Kv::new(), transport, disk).addresses(["cable:0".parse()?]);
//! let ada = KvHandle::new(ada.start().await?);
//! # let invitation = ada.raft().invite(Terms::membership()).await?;
//! # let disk = MemoryStorage::default();
//! # let transport = Endpoint::new(disk.identity().clone(), bobs);
//! # let bob = Member::builder(Kv::new(), transport, disk).addresses(["cable:1".parse()?]);
//! # let bob = KvHandle::new(bob.invited(invitation).start().await?);
//! # bob.raft().joined().await?;
//! # bob.set("camp", "below the bridge").await?;
//! # assert_eq!(ada.get("camp").await?.as_deref(), Some(&b"below the bridge"[..]));
//! # Ok(())
//! # }
//! ```
//!
//! A medium that authenticates peers in its own way may be a [`Transport`] as a whole, which answers for the sender of
//! each frame; [`transport::conformance`] has its promises as tests.
//!
//! # Tests with faults
//!
//! The [memory transport](transport::memory) is also a laboratory: loss, duplication, reordering, delays, slow links,
//! one-way cuts, partitions and sudden death, all drawn from a seed. Under tokio's paused clock, which needs its
//! feature `test-util`, an hour of it passes in moments, and election timeouts cost a test nothing.
//!
//! ```
//! use std::time::Duration;
//! use liferaft::transport::memory::{Delay, Faults, Probability};
//! # use liferaft::{Configuration, Founding, Kv, KvHandle, Member, MemoryNetwork, MemoryStorage, Storage};
//!
//! #[tokio::main(flavor = "current_thread", start_paused = true)] // In a test: #[tokio::test(start_paused = true)]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let network = MemoryNetwork::new(42);
//! #     let disks = [(); 3].map(|()| MemoryStorage::default());
//! #     let ids = disks.each_ref().map(|disk| disk.identity().id());
//! #     let founding = Founding::new(Configuration::of_voters(ids));
//! #     let mut members = Vec::new();
//! #     for mut disk in disks {
//! #         founding.found(&mut disk).await?;
//! #         let member = Member::builder(Kv::new(), network.attach(disk.identity().id())?, disk);
//! #         members.push(KvHandle::new(member.start().await?.within(Duration::from_secs(60))));
//! #     }
//!     // … three members are started on it …
//!     let radio = Faults::none()
//!         .with_loss(Probability::percent(20))
//!         .with_delay(Delay::uniform(Duration::from_millis(5)..=Duration::from_millis(80)));
//!     network.set_faults(radio);
//!
//!     for line in ["the road is blocked", "we take the boat", "who has the blankets?"] {
//!         members[0].append("chat", line).await?;
//!     }
//!     let leader = members[0].raft().status().borrow().leader().expect("it took the lines");
//!     network.kill(leader);
//!
//!     for member in members.iter().filter(|member| member.raft().id() != leader) {
//!         let chat = member.read_sequence("chat", 0, 100).await?;
//!         assert_eq!(chat.values.len(), 3, "no line is lost, none is doubled");
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # Where to look
//!
//! | module | what |
//! |---|---|
//! | [`driver`] | members and their handles, what can become of a request |
//! | [`kv`] | the key-value store: its commands, limits and errors |
//! | [`state_machine`], [`codec`], [`sessions`] | what you write, its bytes, and how each command takes effect once |
//! | [`config`], [`configuration`] | timing and bounds; who takes part |
//! | [`transport`] | carriers, links, handshakes and invitations; the memory network, the conformance kit |
//! | [`storage`], [`identity`] | what must survive, and where it is kept; whose it is |
//! | [`consensus`], [`message`], [`entry`], [`time`] | the protocol as a value, to be driven by hand: see `examples/sans_io.rs` |
//! | [`wire`] | the bytes that members exchange and store |
//! | [`platform`] | time, timers, tasks and entropy, natively and in browsers |
//!
//! What the traits and examples here are written in is re-exported: [`bytes`], `async_trait`,
//! [`Stream`] and [`StreamExt`], and [`mod@serde`], whose derives then want `#[serde(crate = "liferaft::serde")]`.
//! Natively an application depends on `tokio` beside `liferaft`, which runs it.
//!
//! Everything runs natively under tokio and, without it, in browsers and Node (`wasm32-unknown-unknown`). Features to
//! choose are `metrics`, `qr`, `webrtc` and `websocket`. Who wants the protocol alone, `no_std` and without a runtime,
//! depends on `liferaft-raft`.
//!
//! [serde]: https://docs.rs/serde
//! [docs/storage.md]: https://github.com/liferaft/liferaft/blob/main/docs/storage.md

pub use liferaft_kv as kv;
pub use liferaft_node::{driver, identity, storage};
pub use liferaft_platform as platform;
pub use liferaft_raft::{
    admission, boots, codec, config, configuration, consensus, entry, ids, message, policy,
    sessions, state_machine, time, wire,
};
pub use liferaft_transport as transport;

// What the traits and types of this crate are written in, so that an application needs no dependency of its own for it.
pub use async_trait::async_trait;
pub use bytes;
pub use futures::{Stream, StreamExt};
pub use serde;

pub use config::{Config, ConfigError, ReadLease};
pub use configuration::Configuration;
pub use consensus::MembershipChange;
pub use driver::{
    Calls, Client, ClientBuilder, ClientRefused, ClientStatus, Events, Exclusion, FoundError,
    Founding, Handle, Happening, LeaveError, Local, MachineFault, Member, MemberBuilder,
    MemberEvent, MemberStatus, MembershipError, Missed, NotJoined, OnExpiry, OnlyVoter, Outbox,
    OutboxConfig, OutboxError, ProposeError, ReadError, Roster, ShutdownError, StartError,
    StopReason, Terms, TransferLeadershipError, UnknownCause, Unreached, UnreachedCause, WaitError,
};
pub use identity::Identity;
pub use ids::{ClusterId, ParseIdError, ServerId};
pub use kv::{Kv, KvError, KvHandle, KvOutbox};
pub use policy::MembershipPolicy;
pub use state_machine::{ApplyContext, Capture, Pieces, RestoreError, Restoring, StateMachine};
pub use storage::{BrowserStorage, DiskStorage, MemoryStorage, Storage, StorageError};
pub use transport::Transport;
pub use transport::carrier::Carrier;
pub use transport::endpoint::Endpoint;
pub use transport::invitation::{Invitation, ParseInvitationError};
pub use transport::memory::MemoryNetwork;

/// The code in `docs/webrtc.md`.
#[cfg(doctest)]
#[doc = include_str!("../docs/webrtc.md")]
mod webrtc_guide {}

/// The code in `docs/signaling.md`.
#[cfg(doctest)]
#[doc = include_str!("../docs/signaling.md")]
mod signaling_guide {}
